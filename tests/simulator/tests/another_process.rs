//! A seed tells the same history in another process.

#![allow(clippy::unwrap_used)]

#[test]
fn another_process_tells_the_same_history() {
    let tell = || {
        let told = std::process::Command::new(env!("CARGO_BIN_EXE_simulate"))
            .args(["--seed", "3", "--trace"])
            .output()
            .unwrap();
        assert!(told.status.success());
        String::from_utf8(told.stdout).unwrap()
    };
    let here = flashsale_simulator::play(3, true);
    assert_eq!(tell().trim_end(), here.describe());
    assert_eq!(tell(), tell());
}
