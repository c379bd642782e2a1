//! One process has a directory; one that cannot be used is refused in one clear line.

use std::{
    fs::{self, File, Permissions},
    io::{Seek, SeekFrom, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::support::{
    process::{Process, complaint},
    system::{OneProcess, System},
    wait_until,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// That it ends by itself, badly, with one line that names this path.
async fn is_refused(process: &Process, path: &Path) -> String {
    let (success, output) = process.outcome().await;
    assert!(!success, "{output}");
    assert!(!output.contains("panicked"), "{output}");
    let complaint = complaint(&output);
    assert_eq!(output.lines().last(), Some(complaint));
    assert!(complaint.contains(path.to_str().unwrap()), "{complaint}");
    complaint.to_owned()
}

#[tokio::test]
async fn a_second_process_on_a_directory_is_refused() {
    let system = OneProcess::start().await;
    let api = system.serve().await;
    for command in ["serve", "migrate", "seed"] {
        let complaint = is_refused(&system.run(&[command]), &system.directory()).await;
        assert!(complaint.contains("in use"), "{complaint}");
    }
    assert_eq!(api.get("/health/ready", None).await.0, 200);
}

#[tokio::test]
async fn no_file_that_is_cleared_away_lets_a_second_process_in() {
    let system = OneProcess::start().await;
    let _api = system.serve().await;
    for entry in fs::read_dir(system.directory()).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_str().unwrap().contains("flashsale.db") {
            fs::remove_file(path).unwrap();
        }
    }
    is_refused(&system.run(&["serve"]), &system.directory()).await;
}

#[tokio::test]
async fn nobody_but_the_owner_can_read_what_is_made() {
    let system = OneProcess::on_nothing();
    let _api = system.serve().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&system.directory()), 0o700);
    for suffix in ["", "-wal", "-shm"] {
        let mut file = system.file().into_os_string();
        file.push(suffix);
        assert_eq!(mode(Path::new(&file)), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_directory_that_everybody_can_write_is_refused() {
    let system = OneProcess::start().await;
    let allow = |mode| fs::set_permissions(system.directory(), Permissions::from_mode(mode));
    allow(0o707).unwrap();
    for command in ["serve", "migrate", "seed"] {
        let complaint = is_refused(&system.run(&[command]), &system.directory()).await;
        assert!(complaint.contains("every user"), "{complaint}");
    }
    allow(0o755).unwrap();
    system.serve().await;
}

#[tokio::test]
async fn files_that_others_could_use_are_the_owner_s_alone_again() {
    let system = OneProcess::start().await;
    fs::set_permissions(system.file(), Permissions::from_mode(0o666)).unwrap();
    let _api = system.serve().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&system.file()), 0o600);
    assert_eq!(mode(&system.directory().join("flashsale.pid")), 0o600);
}

#[tokio::test]
async fn a_planted_link_is_never_followed() {
    let system = OneProcess::start().await;
    let victim = system.home().join("somebody-else-s");
    fs::write(&victim, "precious").unwrap();
    let pid = system.directory().join("flashsale.pid");
    let _ = fs::remove_file(&pid);
    symlink(&victim, &pid).unwrap();
    let first = system.serve().await;
    assert!(!fs::symlink_metadata(&pid).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");

    // Nor does the one that is refused read it to everybody.
    fs::remove_file(&pid).unwrap();
    symlink(&victim, &pid).unwrap();
    let complaint = is_refused(&system.run(&["serve"]), &system.directory()).await;
    assert!(!complaint.contains("precious"), "{complaint}");
    drop(first);

    for suffix in ["", "-wal"] {
        let system = OneProcess::start().await;
        let mut file = system.file().into_os_string();
        file.push(suffix);
        let file = PathBuf::from(file);
        let _ = fs::remove_file(&file);
        symlink(&victim, &file).unwrap();
        let complaint = is_refused(&system.run(&["serve"]), &file).await;
        assert!(complaint.contains("symbolic link"), "{complaint}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
}

#[tokio::test]
async fn of_two_started_at_once_one_serves() {
    let system = OneProcess::on_nothing();
    let two = [system.run(&["serve"]), system.run(&["serve"])];
    let (loser, winner) = tokio::select! {
        _ = two[0].end() => (&two[0], &two[1]),
        _ = two[1].end() => (&two[1], &two[0]),
    };
    is_refused(loser, &system.directory()).await;
    winner.wait_for_line("serving http://").await;
}

/// A file in which every table has rows, closed in order.
async fn a_used_file() -> OneProcess {
    let system = OneProcess::start().await;
    system.shoppers(40).await;
    let seed = system.run(&["seed"]);
    assert!(seed.end().await.success(), "{}", seed.output());
    system
}

/// Writes garbage there, and sees that the file is refused and left as it is.
async fn damage_is_found(system: &OneProcess, from: u64, bytes: usize) {
    let mut file = File::options().write(true).open(system.file()).unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(&vec![0xa5; bytes]).unwrap();
    file.sync_all().unwrap();
    let damaged = fs::read(system.file()).unwrap();
    for command in ["serve", "seed", "migrate"] {
        let complaint = is_refused(&system.run(&[command]), &system.file()).await;
        assert!(complaint.contains("damaged"), "{complaint}");
    }
    assert!(
        fs::read(system.file()).unwrap() == damaged,
        "it was changed"
    );
}

#[tokio::test]
async fn a_file_with_a_damaged_header_is_refused() {
    damage_is_found(&a_used_file().await, 0, 100).await;
}

#[tokio::test]
async fn a_file_with_a_damaged_page_is_refused() {
    // Rows of a table (a page of type 13), entries of an index (10), the head of a page.
    for (kind, holds, from, bytes) in [
        (13, "$argon2id$", 3_000, 1_000),
        (10, "user1@", 3_500, 500),
        (13, "FLASH-001", 0, 8),
    ] {
        let system = a_used_file().await;
        let page = page_with(&system, kind, holds);
        damage_is_found(&system, page + from, bytes).await;
    }
}

/// Where the first page of this type begins that holds this text (<https://sqlite.org/fileformat.html>, 1.6).
fn page_with(system: &OneProcess, kind: u8, holds: &str) -> u64 {
    const PAGE: usize = 4_096;
    let file = fs::read(system.file()).unwrap();
    let mut pages = file.chunks(PAGE);
    let page = pages.position(|page| {
        let mut texts = page.windows(holds.len());
        page[0] == kind && texts.any(|text| text == holds.as_bytes())
    });
    (page.unwrap() * PAGE) as u64
}

/// The log beside the file of a process that was killed: accepted attempts stand in it alone.
async fn a_log_that_was_left() -> (OneProcess, PathBuf) {
    let system = OneProcess::start().await;
    let (sale, _) = system.sale(20).await;
    let shoppers = system.shoppers(20).await;
    let api = system.serve().await;
    api.wait_until_open(&system, sale).await;
    for shopper in &shoppers {
        assert_eq!(api.attempt(sale, shopper).await.0, 200);
    }
    api.process.kill();
    api.process.end().await;
    let mut log = system.file().into_os_string();
    log.push("-wal");
    (system, PathBuf::from(log))
}

#[tokio::test]
async fn a_damaged_log_beside_the_file_is_refused() {
    let (system, log) = a_log_that_was_left().await;
    let whole = fs::read(&log).unwrap();
    for at in [3, whole.len() / 3, whole.len() / 2] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&log, &damaged).unwrap();
        let complaint = is_refused(&system.run(&["serve"]), &system.file()).await;
        assert!(complaint.contains("damaged"), "{complaint}");
        assert!(fs::read(&log).unwrap() == damaged, "it was changed");
    }
    fs::write(&log, &whole).unwrap();
    let api = system.serve().await;
    assert_eq!(api.get("/health/ready", None).await.0, 200);
}

#[tokio::test]
async fn a_damaged_file_and_its_log_are_left_as_they_are() {
    let (system, log) = a_log_that_was_left().await;
    let whole = fs::read(&log).unwrap();
    damage_is_found(&system, 20, 80).await;
    assert!(fs::read(&log).unwrap() == whole, "it was changed");
}

#[tokio::test]
async fn an_empty_or_missing_file_beside_a_log_is_refused() {
    let (system, log) = a_log_that_was_left().await;
    let whole = fs::read(&log).unwrap();
    let copy = fs::read(system.file()).unwrap();
    fs::write(system.file(), "").unwrap();
    for _ in 0..2 {
        let complaint = is_refused(&system.run(&["serve"]), &system.file()).await;
        assert!(complaint.contains("damaged"), "{complaint}");
        assert!(fs::read(&log).unwrap() == whole, "it was changed");
        let _ = fs::remove_file(system.file());
    }
    fs::write(system.file(), copy).unwrap();
    let _api = system.serve().await;
    wait_until("all is settled", PATIENCE, async || {
        system.number("SELECT count(*) FROM orders").await == 20
    })
    .await;
}

#[tokio::test]
async fn a_file_that_was_cut_is_refused() {
    let system = a_used_file().await;
    let file = File::options().write(true).open(system.file()).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let complaint = is_refused(&system.run(&["serve"]), &system.file()).await;
    assert!(complaint.contains("damaged"), "{complaint}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_refused() {
    let system = OneProcess::on_nothing();
    fs::write(system.directory(), "a file").unwrap();
    let inside = system.directory().join("inside");
    // Below /proc nobody can write, root neither.
    for place in [
        Path::new("/proc/flashsale-data"),
        &system.directory(),
        &inside,
    ] {
        for command in ["serve", "migrate", "seed"] {
            is_refused(&OneProcess::run_on(place, &[command], &[]), place).await;
        }
    }
}
