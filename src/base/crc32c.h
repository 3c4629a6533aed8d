/* CRC-32C (Castagnoli polynomial, reflected; RFC 3720 appendix B.4). crc32c(0, "123456789", 9) is 0xe3069283. */
#ifndef IKADA_BASE_CRC32C_H
#define IKADA_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 at the start) over `size` bytes. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);

#endif
