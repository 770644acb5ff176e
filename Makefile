# limpet. `make` builds one static binary and puts a copy at ./limpet.

MACHINE != uname -m
TARGET = $(MACHINE)-unknown-linux-musl
PREFIX = /usr/local
CARGO = cargo
BUILT = $${CARGO_TARGET_DIR:-target}/$(TARGET)/release/limpet

# Most of a test's life is waiting for a process, so there are more than cores.
TESTS = RUST_TEST_THREADS=$${RUST_TEST_THREADS:-8}

all: musl
	$(CARGO) build --release --target $(TARGET)
	cp -f $(BUILT) limpet

run: all
	./limpet scripts/site

# What tests a floor by itself forks now and then: in one thread, since a child must
# not be born with another test's locks and descriptors.
test: musl
	RUST_TEST_THREADS=1 $(CARGO) test --quiet --target $(TARGET) --bin limpet
	$(TESTS) $(CARGO) test --target $(TARGET) --test house --test server

# `make smoke TARGET=aarch64-unknown-linux-musl`: under qemu.
smoke: musl
	scripts/smoke $(TARGET)

check: musl
	$(CARGO) fmt --check
	$(CARGO) clippy --target $(TARGET) --all-targets -- -D warnings
	$(CARGO) test --quiet --target $(TARGET) --test house
	scripts/parse

sizes: all
	scripts/sizes ./limpet

figures: all
	scripts/figures.sh ./limpet

soak: all
	scripts/soak.sh ./limpet

bench: all
	scripts/bench.sh ./limpet

image: all
	scripts/image/build ./limpet

image-busybox: all
	scripts/image/build --busybox ./limpet

miri:
	MIRIFLAGS=-Zmiri-ignore-leaks $(CARGO) +nightly miri test --target $(TARGET) mem::

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin
	install -m 755 limpet $(DESTDIR)$(PREFIX)/sbin/limpet

clean:
	$(CARGO) clean
	rm -f limpet

# The target comes with rustup where it is missing; where Rust came some other
# way and brought it along, there is nothing to do.
musl:
	@test -d "$$(rustc --print sysroot)/lib/rustlib/$(TARGET)" || rustup target add $(TARGET)

.PHONY: all run test smoke check sizes figures bench image image-busybox miri install clean musl
