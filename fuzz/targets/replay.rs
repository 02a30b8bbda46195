//! What the fuzzer found once stays found: each target over its seeds and its corpus, as a plain test of its crate.

extern crate std as library;

use self::library::fs;
use self::library::path::Path;
use self::library::vec::Vec;

/// A target: its name, what is done with an input, the inputs to begin with, most bytes that an input may cost.
type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>, usize);

/// Gives each target its seeds, and the files of its folder of `fuzz/corpus`; `manifest` is the folder of the crate.
pub fn replay(targets: &[Target], manifest: &str) {
    let root = Path::new(manifest).ancestors().find(|folder| folder.join("fuzz/corpus").is_dir());
    let corpus = root.expect("the repository has fuzz/corpus").join("fuzz/corpus");
    for (name, run, seeds, _) in targets {
        let seeds = seeds();
        assert!(!seeds.is_empty(), "{name} has no seeds");
        seeds.iter().for_each(|seed| run(seed));
        let files = fs::read_dir(corpus.join(name)).expect("each target has a corpus").flatten();
        let mut files: Vec<_> = files.map(|file| file.path()).collect();
        files.sort();
        assert!(!files.is_empty(), "the corpus of {name} is empty");
        for file in files {
            library::eprintln!("{}", file.display());
            run(&fs::read(&file).expect("a file of the corpus can be read"));
        }
    }
}
