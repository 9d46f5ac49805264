//! The record of a learner's progress: two commands at once, and a file that cannot be read.

use cluster::Lang;
use std::fs;
use workbook::progress::Progress;

#[test]
fn many_at_once_lose_nothing() {
    let root = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    Progress::change(root.path(), |progress| progress.step("step1_registration").checked += 1).unwrap();
                    // Whoever reads in between finds a whole file.
                    Progress::read(root.path()).unwrap();
                }
            });
        }
    });
    let progress = Progress::read(root.path()).unwrap();
    assert_eq!(progress.steps["step1_registration"].checked, 200);
    let left: Vec<_> =
        fs::read_dir(root.path().join("work")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "the file and its lock: {left:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_left_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("work/progress.json");
    fs::create_dir(root.path().join("work")).unwrap();
    fs::write(&file, "{ half").unwrap();
    let error = Progress::change(root.path(), |_| ()).unwrap_err();
    assert_eq!(error.code(), 3);
    assert!(error.show(Lang::Ja).contains("cargo workbook doctor"), "{}", error.show(Lang::Ja));
    assert_eq!(fs::read_to_string(&file).unwrap(), "{ half");
}

#[test]
fn steps_and_fields_of_another_version_do_no_harm() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("work")).unwrap();
    let text = r#"{"schema": 1, "current": null, "more": 1, "steps": {"step9_later": {"started": 5}, "step1_registration": {"done": 7}}}"#;
    fs::write(root.path().join("work/progress.json"), text).unwrap();
    Progress::change(root.path(), |progress| progress.step("step1_registration").checked += 1).unwrap();
    let progress = Progress::read(root.path()).unwrap();
    assert_eq!((progress.steps["step9_later"].started, progress.steps["step1_registration"].done), (5, Some(7)));
}

/// A new file takes the place of the old one: who has begun to read the old one reads it to its end.
#[test]
fn a_reader_finds_the_old_file_or_the_new_one() {
    let root = tempfile::tempdir().unwrap();
    let change = |count: u32| {
        Progress::change(root.path(), |progress| progress.step("step1_registration").checked = count).unwrap();
    };
    change(1);
    let path = root.path().join("work/progress.json");
    let before = fs::read_to_string(&path).unwrap();
    let reader = fs::File::open(&path).unwrap();
    change(2);
    assert_eq!(std::io::read_to_string(reader).unwrap(), before);
    assert_ne!(fs::read_to_string(&path).unwrap(), before);
}
