# VMatic. `make demo` shows the main job, `make test` passes the tests; both install what is missing.

# Agent and leaf are static: musl, or gnu with crt-static where rustup cannot have musl's target (.ci/install decides).
TARGET ?= $(shell cat target/.static-target 2>/dev/null || echo x86_64-unknown-linux-musl)
export PATH := $(HOME)/.cargo/bin:$(PATH)
export CARGO_TERM_COLOR ?= auto
ifneq ($(TARGET),x86_64-unknown-linux-musl)
# rust-toolchain.toml names the target that cannot be had: name the toolchain alone instead.
export RUSTUP_TOOLCHAIN ?= 1.95.0
STATIC_FLAGS := -C target-feature=+crt-static
endif
NO_UNWIND_TABLES := -C link-arg=-Wl,--no-eh-frame-hdr,-T,$(CURDIR)/agent/no-unwind-tables.ld
# The tests that need root run through sudo where make does not run as root.
SUDO := $(shell [ $$(id -u) = 0 ] || echo sudo -E)
SPEC ?= examples/laptop.toml
PREFIX ?= /usr/local
# Tests end themselves; should one hang all the same, this ends it. .ci/machines has limits of its own.
LIMIT := timeout --foreground --kill-after=30 1800

.PHONY: all build agents install installed man demo test test-pure test-hosts test-machines test-programs fuzz lint fmt bench bench-deps bench-switch bench-tree bench-push clean deps help

# What deps finds decides how build builds, so build is made by a make of its own.
all: deps
	@$(MAKE) --no-print-directory build

help:
	@echo "make demo           build everything, boot a cluster on this machine, run a command on all of it"
	@echo "make test           pure tests, several hosts, real programs, whole machines"
	@echo "make test-pure      a minute: units, properties, fuzzed parsers"
	@echo "make test-hosts     agents in network namespaces (root)"
	@echo "make test-machines  QEMU boots the images (TESTS=\"clones qemu\": these modules alone)"
	@echo "make test-programs  91 programs of Debian in images of only what they need (root)"
	@echo "make fuzz           parsers and devices under libFuzzer (FUZZ=\"frames policy\", FUZZ_SECONDS=3600; 60 each)"
	@echo "make lint           formatting, clippy, documentation, house rules, licences of dependencies"
	@echo "make bench          the figures of the README, measured here (BENCH=--least-ram: minutes more)"
	@echo "make bench-deps     the processor time of vmatic deps, beside another vmatic (OTHER=path)"
	@echo "make bench-switch   guests' links beside a bridge and this machine's own clock (as root)"
	@echo "make bench-tree     a command to 1,000 agents beside as many processes (HOSTS=100)"
	@echo "make bench-push     a file to 7 hosts behind links of 200 Mbit/s, beside what the rate alone takes (as root)"
	@echo "make install        one static vmatic that carries its agents, below PREFIX (/usr/local) of DESTDIR"
	@echo "make man            man pages and shell completions, into target/man and target/completions"
	@echo "make build          bin/vmatic, bin/vmatic-agent, bin/vmatic-leaf"

deps:
	@.ci/install

build: agents
	cargo build --release -p vmatic
	@mkdir -p bin
	@cmp -s target/release/vmatic bin/vmatic || install -m 755 target/release/vmatic bin/

agents:
	RUSTFLAGS="$(STATIC_FLAGS)" cargo rustc --profile tiny --target $(TARGET) -p vmatic-agent -- $(NO_UNWIND_TABLES)
	@# Apart from the agent, whose std would be the leaf's too.
	RUSTFLAGS="$(STATIC_FLAGS)" cargo build --profile tiny --target $(TARGET) -p vmatic-leaf
	@mkdir -p bin
	@for f in target/$(TARGET)/tiny/vmatic-agent target/$(TARGET)/tiny/vmatic-leaf; do \
	  cmp -s $$f bin/$${f##*/} || install -m 755 $$f bin/; done

# One file that needs no other: static, with agent, leaf and base in itself.
CARRY := $(CURDIR)/target/carry
# What C there is in it (zstd) is compiled for musl by whatever compiler is there.
MUSL_CC := $(shell command -v musl-gcc || command -v cc)
install: deps
	@$(MAKE) --no-print-directory installed

installed: agents
	@mkdir -p $(CARRY)
	@for f in vmatic-agent vmatic-leaf; do gzip -9nc bin/$$f >$(CARRY)/$$f.new; \
	  cmp -s $(CARRY)/$$f.new $(CARRY)/$$f.gz && rm $(CARRY)/$$f.new || mv $(CARRY)/$$f.new $(CARRY)/$$f.gz; done
	VMATIC_CARRY=$(CARRY) CC_x86_64_unknown_linux_musl=$(MUSL_CC) RUSTFLAGS="$(STATIC_FLAGS)" \
	  cargo build --release --target $(TARGET) -p vmatic
	install -D -m 755 target/$(TARGET)/release/vmatic $(DESTDIR)$(PREFIX)/bin/vmatic
	@target/$(TARGET)/release/vmatic man target/man >/dev/null
	@for f in target/man/*.1; do install -D -m 644 $$f $(DESTDIR)$(PREFIX)/share/man/man1/$${f##*/}; done
	@d=$(DESTDIR)$(PREFIX)/share; v=target/$(TARGET)/release/vmatic; \
	  mkdir -p $$d/bash-completion/completions $$d/zsh/site-functions $$d/fish/vendor_completions.d; \
	  $$v completions bash >$$d/bash-completion/completions/vmatic; \
	  $$v completions zsh >$$d/zsh/site-functions/_vmatic; \
	  $$v completions fish >$$d/fish/vendor_completions.d/vmatic.fish
	@echo "$(DESTDIR)$(PREFIX)/bin/vmatic: one static file; copy it to other machines as it is"

man: all
	@bin/vmatic man target/man
	@mkdir -p target/completions
	@for s in bash zsh fish; do bin/vmatic completions $$s >target/completions/vmatic.$$s; done
	@echo "target/man, target/completions"

demo: all
	@examples/demo.sh $(SPEC)

test: test-pure test-hosts test-programs test-machines

test-pure: deps
	$(LIMIT) cargo test --workspace --exclude vmatic-leaf
	$(LIMIT) cargo test -p vmatic-leaf --lib

test-hosts: all
	$(if $(SUDO),CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$(SUDO)") $(LIMIT) cargo test -p vmatic --test hosts -- --ignored --test-threads 1 --skip programs::

test-machines: all
	@.ci/machines $(TESTS)

test-programs: deps
	$(if $(SUDO),CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$(SUDO)") $(LIMIT) cargo test -p vmatic --test hosts programs:: -- --ignored --nocapture --test-threads 1

fuzz: deps
	@.ci/install fuzz
	@fuzz/run $(FUZZ)

lint: deps
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --all --check
	cargo clippy --workspace --exclude vmatic-leaf --all-targets -- -D warnings
	cargo clippy -p vmatic-leaf --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --workspace --exclude vmatic-leaf
	cargo test --quiet -p vmatic --test pure -- tidy:: rooms:: words:: deny::

fmt:
	cargo fmt --all

bench: all
	@examples/bench.sh $(SPEC) $(BENCH)

bench-deps: build
	@OTHER="$(OTHER)" examples/bench-deps.sh

bench-switch: all
	cargo run --quiet --release -p vmatic --example switch_rate -- bin/vmatic-agent

bench-tree: all
	@examples/bench-tree.sh $(HOSTS)

bench-push: all
	@examples/bench-push.sh $(HOSTS)

clean:
	cargo clean
	rm -rf bin out
