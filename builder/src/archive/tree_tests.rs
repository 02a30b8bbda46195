use super::*;
use crate::archive;

fn image(records: &[(&str, Entry)]) -> Image {
    let mut bytes = Vec::new();
    for (path, entry) in records {
        archive::write_entries(&[(*path, entry)], 0, &mut bytes).unwrap();
    }
    crate::archive::read::read(bytes).unwrap()
}

#[test]
fn records_are_laid_as_the_kernel_lays_them() {
    let why = Why::default;
    let (tree, left_out) = tree(&image(&[
        ("real", Entry::dir(0o755, why())),
        ("link", Entry::symlink("real", why())),
        ("link/y", Entry::file(*b"1", 0o644, why())),
        ("link", Entry::dir(0o700, why())),
        ("none/x", Entry::file(*b"2", 0o644, why())),
        ("../out", Entry::file(*b"3", 0o644, why())),
    ]));
    assert_eq!(tree.get("real/y").unwrap().kind(), "file", "a file goes through the link");
    assert_eq!(tree.get("link").unwrap().kind(), "directory", "a folder replaces the link");
    assert_eq!(tree.get("out").unwrap().size(), 1, "above the root is the root");
    assert_eq!(left_out[..], ["at byte 2048: none/x is left out: none is not there"]);
}

#[test]
fn the_data_of_a_linked_file_may_be_on_any_of_its_names() {
    let mut tree_in = FileTree::new();
    for path in ["a", "b"] {
        tree_in.insert(path, Entry::file(*b"data", 0o644, Why::default()).linked(1)).unwrap();
    }
    let mut bytes = Vec::new();
    archive::write(&tree_in, 0, &mut bytes).unwrap();
    let (tree, _) = tree(&crate::archive::read::read(bytes).unwrap());
    assert!(["a", "b"].iter().all(|path| tree.get(path).unwrap().size() == 4));
}

/// Folders in each other whose names are as long as names are, and a link `l` to the innermost.
fn deep() -> (String, Vec<(String, Entry)>) {
    let why = Why::default;
    let part = "p".repeat(255);
    let mut real = String::new();
    let mut records = Vec::new();
    for _ in 0..15 {
        real = if real.is_empty() { part.clone() } else { format!("{real}/{part}") };
        records.push((real.clone(), Entry::dir(0o755, why())));
    }
    records.push(("l".to_owned(), Entry::symlink(real, why())));
    (part, records)
}

fn image_of(records: &[(String, Entry)]) -> Image {
    image(&records.iter().map(|(path, entry)| (path.as_str(), entry.clone())).collect::<Vec<_>>())
}

#[test]
fn paths_that_links_make_too_long_are_left_out() {
    let why = Why::default;
    let (part, mut records) = deep();
    // 15 parts with their slashes are 3840 bytes, and with one more the longest path.
    records.push((format!("l/{part}"), Entry::dir(0o755, why())));
    records.push((format!("l/{part}/x"), Entry::dir(0o755, why())));
    let (tree, notes) = tree(&image_of(&records));
    assert_eq!(tree.iter().map(|(path, _)| path.len()).max(), Some(PATH_BYTES_MAX));
    assert_eq!(notes[..], ["1 paths are longer than 4095 bytes and are left out"]);
}

#[test]
fn short_names_make_no_end_of_long_paths() {
    let (_, mut records) = deep();
    // Each is a path of 3.8 KB: in all 38 MB, of an input of 1.2 MB.
    records.extend((0..10_000).map(|at| (format!("l/{at}"), Entry::fifo(0o644, Why::default()))));
    let (tree, notes) = tree(&image_of(&records));
    let bytes: usize = tree.iter().map(|(path, _)| path.len()).sum();
    let names: usize = records.iter().map(|(path, _)| path.len()).sum();
    assert!((PATHS_BYTES_MAX..=PATHS_BYTES_MAX + 2 * names).contains(&bytes), "{bytes}");
    assert!(notes.last().is_some_and(|note| note.contains("long paths of short names")), "{notes:?}");
}

#[test]
fn what_a_cut_off_file_says_of_itself_is_not_held() {
    let mut bytes = Vec::new();
    let file = Entry::file(*b"whole", 0o644, Why::default());
    archive::write_entries(&[("f", &file)], 0, &mut bytes).unwrap();
    for (size, shown) in [(5 + FILLED_BYTES_MAX, 5 + FILLED_BYTES_MAX), (0x0980_0000, 5 + FILLED_BYTES_MAX)] {
        bytes[54..62].copy_from_slice(format!("{size:08x}").as_bytes());
        let (tree, notes) = tree(&crate::archive::read::read(bytes[..117].to_vec()).unwrap());
        assert_eq!(tree.get("f").unwrap().size(), shown);
        assert_eq!(notes.len(), usize::from(size > shown), "{notes:?}");
    }
}

#[test]
fn odd_records_are_counted_and_the_first_of_them_named() {
    let records: Vec<_> = (0..3000).map(|at| (format!("none/{at}"), Entry::dir(0o755, Why::default()))).collect();
    let (_, notes) = tree(&image_of(&records));
    assert_eq!((notes.len(), notes.more()), (1000, 2000));
}

#[test]
fn links_to_links_take_no_more_steps_than_allowed() {
    let why = Why::default;
    let mut records = vec![("d".to_owned(), Entry::dir(0o755, why()))];
    let around = "d/../".repeat(800);
    records.push(("0".to_owned(), Entry::symlink("d", why())));
    records.extend((1..39).map(|at| (at.to_string(), Entry::symlink(format!("{around}{}", at - 1), why()))));
    // Each of these costs 100,000 steps, some times over.
    records.extend((0..500).map(|at| (format!("38/{at}"), Entry::dir(0o755, why()))));
    let (tree, notes) = tree(&image_of(&records));
    assert!(tree.get("d/0").is_some());
    assert!(notes.iter().any(|note| note.contains("more folders than vmatic follows")), "{:?}", notes.last());
}
