//! One target of many in one program: chosen by the environment, its memory bounded.
//!
//! libFuzzer owns `main` and the command line; so `VMATIC_FUZZ` says what is to be done: `list` prints the targets'
//! names, a name runs that target, and with `VMATIC_FUZZ_SEEDS=FOLDER` writes its seeds there instead.

mod allocator;

use std::fs;
use std::path::Path;
use std::process::exit;
use std::sync::OnceLock;

/// A target: its name, what is done with an input, the inputs to begin with, most bytes that an input may cost.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>, usize);

static CHOSEN: OnceLock<Target> = OnceLock::new();

/// Chooses one of a program's targets; called once, before the first input.
pub fn choose(targets: &[&'static [Target]]) {
    let asked = std::env::var("VMATIC_FUZZ").unwrap_or_default();
    let mut all = targets.iter().copied().flatten();
    if asked == "list" {
        all.for_each(|(name, ..)| println!("{name}"));
        exit(0);
    }
    let Some(target) = all.find(|(name, ..)| *name == asked) else {
        eprintln!("error: VMATIC_FUZZ={asked} is no target of this program; VMATIC_FUZZ=list prints them");
        exit(2);
    };
    if let Ok(folder) = std::env::var("VMATIC_FUZZ_SEEDS") {
        let folder = Path::new(&folder);
        for (at, seed) in (target.2)().iter().enumerate() {
            if let Err(error) = fs::write(folder.join(format!("seed-{at}")), seed) {
                eprintln!("error: cannot write seeds to {}: {error}", folder.display());
                exit(1);
            }
        }
        exit(0);
    }
    // What says where it panicked reads the program's own lines, and may take more than any input.
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |why| {
        allocator::lift();
        say(why);
    }));
    CHOSEN.get_or_init(|| *target);
}

/// Gives the chosen target one input.
pub fn run(data: &[u8]) {
    if let Some((_, run, _, bytes_max)) = CHOSEN.get() {
        allocator::bounded(*bytes_max, || run(data));
    }
}
