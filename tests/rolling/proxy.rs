//! HAProxy and nginx with the configurations of `config/`, on ports of the test.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::support::{
    process::{Process, free_port, send_signal},
    wait_until,
};

/// Time within which a proxy must notice a change or finish a reload.
const PROXY_TIMEOUT: Duration = Duration::from_secs(20);
/// The addresses of the nodes in the shipped configurations.
const NODES: [&str; 2] = ["127.0.0.1:3001", "127.0.0.1:3002"];

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name)
}

/// The path of a program. Debian installs the proxies in a directory that is only in root's PATH.
fn program(name: &str) -> OsString {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .map(|directory| Path::new(directory).join(name))
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is missing; scripts/services.sh installs it"))
        .into()
}

/// Checks the shipped configurations with the proxies' own commands.
pub fn check_shipped() {
    let haproxy = Command::new(program("haproxy"))
        .args(["-c", "-f"])
        .arg(shipped("haproxy.cfg"))
        .output()
        .unwrap();
    assert!(haproxy.status.success(), "{haproxy:?}");
    let directory = TempDir::new().unwrap();
    let nginx = Command::new(program("nginx"))
        .args(["-t", "-g", &pid_file(directory.path()), "-c"])
        .arg(shipped("nginx.conf"))
        .output()
        .unwrap();
    assert!(nginx.status.success(), "{nginx:?}");
}

fn pid_file(directory: &Path) -> String {
    format!("pid {}/nginx.pid;", directory.display())
}

/// The shipped configuration with these replacements. Panics if it does not contain a text to replace.
fn changed(name: &str, changes: &[(&str, &str)]) -> String {
    let mut text = fs::read_to_string(shipped(name)).unwrap();
    for (before, after) in changes {
        assert!(text.contains(before), "{name} has no {before:?}");
        text = text.replace(before, after);
    }
    text
}

pub struct Haproxy {
    pub port: u16,
    directory: TempDir,
    _process: Process,
}

impl Haproxy {
    pub async fn start(nodes: [u16; 2]) -> Self {
        let (directory, port) = (TempDir::new().unwrap(), free_port());
        let socket = directory.path().join("admin.sock");
        let [first, second] = nodes.map(|port| format!("127.0.0.1:{port}"));
        let text = changed(
            "haproxy.cfg",
            &[
                (":8080", &format!("127.0.0.1:{port}")),
                (NODES[0], &first),
                (NODES[1], &second),
                // A socket for `show stat`, which tells the states of the nodes.
                (
                    "defaults\n",
                    &format!(
                        "global\n    stats socket {}\n\ndefaults\n",
                        socket.display()
                    ),
                ),
                // Without a log line for each successful request.
                ("    option httplog\n", "    option dontlog-normal\n"),
            ],
        );
        let file = directory.path().join("haproxy.cfg");
        fs::write(&file, text).unwrap();
        let arguments = ["-db", "-f", file.to_str().unwrap()];
        let process = Process::start_program(&program("haproxy"), &arguments, &BTreeMap::new());
        let haproxy = Self {
            port,
            directory,
            _process: process,
        };
        for node in 0..nodes.len() {
            haproxy.wait_until_up(node).await;
        }
        haproxy
    }

    /// Waits until HAProxy sends requests to a node.
    pub async fn wait_until_up(&self, node: usize) {
        let name = format!("nodes,node{},", node + 1);
        wait_until("HAProxy takes the node as up", PROXY_TIMEOUT, || async {
            let stat = self.stat().await.unwrap_or_default();
            // The 18th field is the status. "UP 1/2" would mean that a check has failed.
            stat.lines()
                .find(|line| line.starts_with(&name))
                .and_then(|line| line.split(',').nth(17))
                == Some("UP")
        })
        .await;
    }

    async fn stat(&self) -> std::io::Result<String> {
        let mut socket = UnixStream::connect(self.directory.path().join("admin.sock")).await?;
        socket.write_all(b"show stat\n").await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

pub struct Nginx {
    pub port: u16,
    nodes: [u16; 2],
    directory: TempDir,
    process: Process,
}

impl Nginx {
    pub async fn start(nodes: [u16; 2]) -> Self {
        let (directory, port) = (TempDir::new().unwrap(), free_port());
        let file = directory.path().join("nginx.conf");
        fs::write(&file, text(directory.path(), port, nodes, None)).unwrap();
        let settings = format!("daemon off; {}", pid_file(directory.path()));
        let arguments = ["-g", &settings, "-c", file.to_str().unwrap()];
        let process = Process::start_program(&program("nginx"), &arguments, &BTreeMap::new());
        let nginx = Self {
            port,
            nodes,
            directory,
            process,
        };
        wait_until("nginx runs", PROXY_TIMEOUT, || async {
            !nginx.workers().is_empty()
        })
        .await;
        nginx
    }

    /// Reloads nginx with this node marked as down, or with none. Returns when no worker process from before the reload accepts
    /// connections.
    pub async fn set_down(&self, node: Option<usize>) {
        let file = self.directory.path().join("nginx.conf");
        fs::write(
            file,
            text(self.directory.path(), self.port, self.nodes, node),
        )
        .unwrap();
        let before = self.workers();
        send_signal(self.process.pid(), "HUP");
        wait_until("nginx has reloaded", PROXY_TIMEOUT, || async {
            let now = self.workers();
            let is_new = now.iter().any(|worker| !before.contains(worker));
            // An old worker that accepts no more connections and only finishes requests says so in its process title.
            let old_accepts = now
                .iter()
                .filter(|worker| before.contains(worker))
                .any(|worker| !title(*worker).contains("is shutting down"));
            is_new && !old_accepts
        })
        .await;
    }

    /// The process ids of nginx's worker processes.
    fn workers(&self) -> Vec<u32> {
        let pid = self.process.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        children
            .split_whitespace()
            .filter_map(|child| child.parse().ok())
            .filter(|child| title(*child).contains("worker process"))
            .collect()
    }
}

fn title(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

fn text(directory: &Path, port: u16, nodes: [u16; 2], down: Option<usize>) -> String {
    let [first, second] = [0, 1].map(|node| {
        let state = if down == Some(node) { " down" } else { "" };
        format!("127.0.0.1:{}{state}", nodes[node])
    });
    // Temporary folders of the test, so that nginx needs no rights for the default ones.
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", directory.display()))
        .concat();
    changed(
        "nginx.conf",
        &[
            ("listen 8080", &format!("listen 127.0.0.1:{port}")),
            (NODES[0], &first),
            (NODES[1], &second),
            ("http {\n", &format!("http {{\n{folders}")),
        ],
    )
}
