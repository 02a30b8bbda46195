//! A whole cluster in one process: the state machines of [`crate::host`] on a network of made-up time.
//!
//! Takes a seed and a [`Setting`]; gives what was [measured](Measured), or which [promise](promises) was broken and the
//! line that repeats it. Nothing is random but by the seed. Not part of agents: the feature `sim` brings it.
//!
//! * [`net`]: machines, links and the queue of what happens when;
//! * [`faults`]: what goes wrong;
//! * [`setting`]: what a run is about, and what is measured;
//! * [`promises`]: what must hold of the tree and of a command in the end;
//! * [`watch`]: what must hold always;
//! * [`story`]: what happens in one seed, from the first boot to the last command.

pub mod faults;
pub mod net;
pub mod promises;
pub mod setting;
pub mod story;
pub mod watch;

pub use setting::{Broken, Measured, Setting};

extern crate std;

/// Runs one seed.
///
/// # Errors
/// A promise was broken.
pub fn run(setting: &Setting) -> Result<Measured, Broken> {
    let broken = |at_ms, what| Broken { setting: setting.clone(), at_ms, what };
    let mut net = net::Net::new(setting.clone()).map_err(|what| broken(0, what))?;
    let told = story::tell(&mut net);
    told.map_err(|what| broken(net.now_ms, what))
}

#[cfg(test)]
mod healing_tests;

#[cfg(test)]
mod tests {
    use super::*;

    /// Few and small: `make test` runs these; more run by the example `sim`.
    #[test]
    fn whatever_goes_wrong_the_promises_are_kept() {
        for seed in 0..2 {
            if let Err(broken) = run(&Setting::of(seed, 40 + 17 * seed as u32)) {
                panic!("{broken}");
            }
        }
    }

    #[test]
    fn a_promise_that_is_broken_is_told_with_the_line_that_repeats_it() {
        let broken = Broken { setting: Setting::of(7, 100), at_ms: 9, what: "two roots".into() };
        let text = std::string::ToString::to_string(&broken);
        assert!(text.contains("two roots") && text.contains("--seed 7 --hosts 100 "), "{text}");
    }
}
