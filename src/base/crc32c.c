#include "base/crc32c.h"

#include <string.h>

/* Nibble at a time: sixteen constants, folded by the compiler. Most machines take the instruction instead. */
#define N1(c) (((c) >> 1) ^ (0x82f63b78u & (0u - ((c)&1u))))
#define N4(c) N1(N1(N1(N1((uint32_t)(c)))))
static const uint32_t nibble[16] = {N4(0), N4(1), N4(2),  N4(3),  N4(4),  N4(5),  N4(6),  N4(7),
				    N4(8), N4(9), N4(10), N4(11), N4(12), N4(13), N4(14), N4(15)};

static uint32_t portable(uint32_t crc, const uint8_t *p, size_t size)
{
	while (size-- > 0) {
		crc ^= *p++;
		crc = (crc >> 4) ^ nibble[crc & 15u];
		crc = (crc >> 4) ^ nibble[crc & 15u];
	}
	return crc;
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t hardware(uint32_t crc, const uint8_t *p, size_t size)
{
	uint64_t wide = crc;
	for (; size >= 8; p += 8, size -= 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		wide = _mm_crc32_u64(wide, word);
	}
	crc = (uint32_t)wide;
	for (; size > 0; p++, size--)
		crc = _mm_crc32_u8(crc, *p);
	return crc;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
	if (__builtin_cpu_supports("sse4.2"))
		return ~hardware(~crc, bytes, size);
	return ~portable(~crc, bytes, size);
}
#else
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
	return ~portable(~crc, bytes, size);
}
#endif
