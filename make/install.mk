# The libraries, and what is installed: program, libraries, headers, and how others find them.
PREFIX ?= /usr/local
LIBDIR = $(PREFIX)/lib
VERSION := $(shell sed -n 's/.*IKADA_VERSION "\(.*\)"/\1/p' src/server/server.h)
INSTALL = install

LIBRARY_ROOMS = base raft wal wire env node
LIBRARY_OBJ = $(foreach r,$(LIBRARY_ROOMS),$(call room,$(r)))

# One object, in which only what is marked IKADA_API has a name that others see.
$(B)/libikada-core.o: $(call room,base) $(call room,raft)
$(B)/libikada.o: $(LIBRARY_OBJ)
$(B)/libikada-core.o $(B)/libikada.o:
	$(LD) -r -o $@ $^
	objcopy --localize-hidden $@

$(B)/libikada-core.a $(B)/libikada.a: %.a: %.o
	@rm -f $@
	ar rcs $@ $<

$(B)/libikada.so.0: $(LIBRARY_OBJ)
	$(CC) -shared -Wl,-soname,$(@F) -Wl,-z,defs $(LDFLAGS_ALL) -o $@ $^ -luv

fill = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@VERSION@|$(VERSION)|g'
into = $(INSTALL) -d $(DESTDIR)$(1) && $(INSTALL) -m $(2) $(3) $(DESTDIR)$(1)

.PHONY: install dist install-test
install: $(B)/ikada $(B)/libikada.a $(B)/libikada-core.a $(B)/libikada.so.0
	$(call into,$(PREFIX)/bin,755,$(B)/ikada)
	$(call into,$(PREFIX)/include/ikada,644,$(wildcard include/ikada/*.h))
	$(call into,$(LIBDIR),644,$(B)/libikada.a $(B)/libikada-core.a $(B)/libikada.so.0)
	ln -sf libikada.so.0 $(DESTDIR)$(LIBDIR)/libikada.so
	@mkdir -p $(B)/package
	$(fill) package/ikada.pc.in >$(B)/package/ikada.pc
	$(fill) package/ikada-core.pc.in >$(B)/package/ikada-core.pc
	$(fill) package/ikadaConfigVersion.cmake.in >$(B)/package/ikadaConfigVersion.cmake
	$(call into,$(LIBDIR)/pkgconfig,644,$(B)/package/ikada.pc $(B)/package/ikada-core.pc)
	$(call into,$(LIBDIR)/cmake/ikada,644,package/ikadaConfig.cmake $(B)/package/ikadaConfigVersion.cmake)

# What git tracks, as it stands here.
dist: $(B)/ikada-$(VERSION).tar.gz
.PHONY: $(B)/ikada-$(VERSION).tar.gz
$(B)/ikada-$(VERSION).tar.gz:
	@mkdir -p $(@D)
	git ls-files -z | tar --null --verbatim-files-from -T - --transform 'flags=r;s|^|ikada-$(VERSION)/|' \
		--sort=name --owner=0 --group=0 --numeric-owner -czf $@

# Installs into a directory of its own, and builds the examples against that.
install-test: $(B)/ikada $(B)/libikada.a $(B)/libikada-core.a $(B)/libikada.so.0
	B='$(B)' MAKE='$(MAKE)' test/install/run
