//! Copies of a data directory that is being served.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use futures::future::join_all;

use crate::support::{
    process::Process,
    system::{OneProcess, System},
    wait_until,
};

fn backup(system: &OneProcess, to: &Path) -> Process {
    let directory = system.directory();
    let arguments = [
        "backup",
        "--data-dir",
        directory.to_str().unwrap(),
        "--to",
        to.to_str().unwrap(),
    ];
    Process::start(&arguments, &OneProcess::environment())
}

/// Puts a copy in a directory of its own, as OPERATIONS.md says.
fn restore(copy: &Path) -> OneProcess {
    let restored = OneProcess::on_nothing();
    fs::create_dir(restored.directory()).unwrap();
    fs::copy(copy, restored.file()).unwrap();
    restored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_under_load_starts_audits_clean_and_has_all_that_was_answered_before_it() {
    let system = OneProcess::start().await;
    let api = system.serve().await;
    let (sale, _) = system.sale(100_000).await;
    let shoppers = system.shoppers(4_000).await;
    api.wait_until_open(&system, sale).await;
    let (answered, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let buyers = shoppers.chunks(shoppers.len() / 8).map(|shoppers| {
        let (api, answered, is_over) = (&api, &answered, &is_over);
        async move {
            for shopper in shoppers {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                assert_eq!(api.attempt(sale, shopper).await.0, 200);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let home = system.home().to_owned();
    let copying = async {
        let mut copies = Vec::new();
        for number in 0..3 {
            let so_far = answered.load(Ordering::Relaxed);
            wait_until("more was bought", Duration::from_secs(30), || async {
                answered.load(Ordering::Relaxed) >= so_far + 100
            })
            .await;
            let (to, before) = (
                home.join(format!("copy-{number}")),
                answered.load(Ordering::Relaxed),
            );
            let (written, told) = backup(&system, &to).outcome().await;
            assert!(written, "{told}");
            copies.push((to, before, answered.load(Ordering::Relaxed)));
        }
        is_over.store(true, Ordering::Relaxed);
        copies
    };
    let (_, copies) = tokio::join!(join_all(buyers), copying);
    for (copy, before, after) in copies {
        let restored = restore(&copy);
        let (is_clean, told) = restored.run(&["audit"]).outcome().await;
        assert!(is_clean, "{told}");
        let again = restored.serve().await;
        again.wait_until_open(&restored, sale).await;
        let orders = usize::try_from(restored.check_promises(sale).await.orders).unwrap();
        // Those under way at the end of the copy may be in it, and not be answered yet.
        assert!(
            (before..=after + 8).contains(&orders),
            "{before} {orders} {after}"
        );
    }
    system.check_promises(sale).await;
    let left: Vec<_> = fs::read_dir(&home)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().starts_with('.')),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_its_owners_alone_and_overwrites_nothing() {
    let system = OneProcess::start().await;
    let copy = system.home().join("a copy's name");
    // Of a directory that nobody serves, too.
    let (written, told) = backup(&system, &copy).outcome().await;
    assert!(written && told.contains("every promise holds"), "{told}");
    assert_eq!(
        fs::metadata(&copy).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let before = fs::read(&copy).unwrap();
    let (written, told) = backup(&system, &copy).outcome().await;
    assert!(!written && told.contains("not overwritten"), "{told}");
    assert_eq!(fs::read(&copy).unwrap(), before);
    let nowhere = system.home().join("nowhere/copy");
    assert!(!backup(&system, &nowhere).outcome().await.0);
    let dangling = system.home().join("link");
    std::os::unix::fs::symlink(&nowhere, &dangling).unwrap();
    assert!(
        !backup(&system, &dangling).outcome().await.0,
        "a link is something"
    );
}
