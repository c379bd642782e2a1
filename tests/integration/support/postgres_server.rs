//! A PostgreSQL server of a test's own, which can be paused, killed and started again.

#![allow(clippy::disallowed_methods)] // connections live as long as their test

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use flashsale::config::{Pooler, PostgresConfig, Secret, TlsConfig};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::{
    mode,
    process::{free_port, send_signal, signal_if_there},
};

/// How long the server may take to answer after its start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections that the server takes. Few, so that a test can use them up.
const CONNECTIONS: u32 = 60;

/// Whom the program logs in as: no superuser, who could use the connections that are kept for one.
const USER: &str = "shop";

/// A private server on a free port of the loopback interface. Killed, and its data deleted, on drop.
pub struct PostgresServer {
    child: Child,
    dir: PathBuf,
    port: u16,
}

impl PostgresServer {
    pub async fn start() -> Self {
        mode::note_own_server(
            "POSTGRES",
            "a PostgreSQL of its own, reached directly and without TLS",
        );
        let dir = std::env::temp_dir().join(format!("flashsale-postgres-{}", Uuid::new_v4()));
        fs::create_dir_all(&dir).unwrap();
        if let Some((user, group)) = server_user() {
            let (user, group) = (user.parse().ok(), group.parse().ok());
            std::os::unix::fs::chown(&dir, user, group).unwrap();
        }
        let made = program("initdb", &dir)
            .args(["-U", "postgres", "--auth=trust", "-E", "UTF8"])
            .args(["--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(dir.join("data"))
            .output()
            .expect("initdb runs");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = free_port();
        let mut server = Self {
            child: spawn(&dir, port),
            dir,
            port,
        };
        server.wait_until_ready().await;
        let role = format!("CREATE ROLE {USER} LOGIN CREATEDB");
        let client = server.admin().await.expect("the server answers");
        client.batch_execute(&role).await.unwrap();
        server
    }

    /// The configuration of the program, with its usual limits.
    pub fn config(&self, database: &str) -> PostgresConfig {
        PostgresConfig {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            tls: TlsConfig::NONE,
            pooler: Pooler::None,
            user: USER.to_owned(),
            password: Secret::new("none"),
            database: database.to_owned(),
            pool_size: 5,
            pool_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(10),
        }
    }

    /// A connection of the superuser.
    pub async fn admin(&self) -> Result<Client, tokio_postgres::Error> {
        let mut settings = tokio_postgres::Config::new();
        settings
            .host("127.0.0.1")
            .port(self.port)
            .user("postgres")
            .dbname("postgres")
            .connect_timeout(Duration::from_secs(2));
        let (client, connection) = settings.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A connection of the superuser to this database.
    pub async fn client(&self, database: &str) -> Client {
        self.client_as("postgres", database).await
    }

    /// A connection of this role to this database.
    pub async fn client_as(&self, role: &str, database: &str) -> Client {
        let mut settings = tokio_postgres::Config::new();
        settings
            .host("127.0.0.1")
            .port(self.port)
            .user(role)
            .dbname(database);
        let (client, connection) = settings.connect(NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        client
    }

    /// Runs a statement as the superuser.
    pub async fn admin_sql(&self, statement: &str) {
        let client = self.admin().await.expect("the server answers");
        client
            .batch_execute(statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Sets a parameter of the whole server, or takes it back, for sessions that are open as well.
    pub async fn set(&self, name: &str, value: Option<&str>) {
        let client = self.admin().await.expect("the server answers");
        let statement = match value {
            Some(value) => format!("ALTER SYSTEM SET {name} = '{value}'"),
            None => format!("ALTER SYSTEM RESET {name}"),
        };
        client.batch_execute(&statement).await.unwrap();
        client
            .batch_execute("SELECT pg_reload_conf()")
            .await
            .unwrap();
    }

    /// Puts a file beside the server's data, readable by it alone, and answers with its path.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;

        let path = self.dir.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((user, group)) = server_user() {
            let (user, group) = (user.parse().ok(), group.parse().ok());
            std::os::unix::fs::chown(&path, user, group).unwrap();
        }
        path
    }

    /// Who may log in how: the lines of `pg_hba.conf`.
    pub async fn let_in(&self, lines: &str) {
        // The superuser of the tests must get in whatever is asked of others.
        let lines = format!("host all postgres 127.0.0.1/32 trust\n{lines}\n");
        self.file("data/pg_hba.conf", lines.as_bytes());
        self.admin_sql("SELECT pg_reload_conf()").await;
    }

    /// Runs a program as the server's user, for as long as what is answered lives.
    pub fn beside(&self, name: &str, arguments: &[&str]) -> Beside {
        let mut command = program(name, &self.dir);
        command.args(arguments).stdout(Stdio::null());
        Beside(command.spawn().unwrap_or_else(|_| panic!("{name} runs")))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops the server and all its backends without closing their connections.
    pub fn pause(&self) {
        // The postmaster first: from then on there are no new ones.
        send_signal(self.child.id(), "STOP");
        for backend in self.backends() {
            signal_if_there(backend, "STOP");
        }
    }

    pub fn resume(&self) {
        for backend in self.backends() {
            signal_if_there(backend, "CONT");
        }
        // Where it is asked for to clean up, the server may have been killed.
        signal_if_there(self.child.id(), "CONT");
    }

    /// `kill -9`, of the backends as well.
    pub fn kill(&mut self) {
        let backends = self.backends();
        self.child.kill().expect("the server can be killed");
        for backend in backends {
            signal_if_there(backend, "KILL");
        }
        self.child.wait().expect("the server can be waited for");
    }

    /// Starts it again, on the same port and data.
    pub async fn restart(&mut self) {
        self.child = spawn(&self.dir, self.port);
        self.wait_until_ready().await;
    }

    /// Copies the data of the running server, as an operator backs it up.
    pub fn back_up(&self) {
        let made = program("pg_basebackup", &self.dir)
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-U", "postgres", "--checkpoint=fast", "--no-sync", "-D"])
            .arg(self.dir.join("backup"))
            .output()
            .expect("pg_basebackup runs");
        assert!(
            made.status.success(),
            "pg_basebackup: {}",
            String::from_utf8_lossy(&made.stderr)
        );
    }

    /// `kill -9`, and a start with the data of the backup: everything later is lost.
    pub async fn restore(&mut self) {
        self.kill();
        let [data, lost, backup] = ["data", "lost", "backup"].map(|name| self.dir.join(name));
        fs::rename(&data, &lost).unwrap();
        fs::rename(backup, data).unwrap();
        self.restart().await;
        fs::remove_dir_all(lost).unwrap();
    }

    fn backends(&self) -> Vec<u32> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        let ids = children.split_whitespace();
        ids.map(|id| id.parse().unwrap()).collect()
    }

    /// Waits for an answer. A server that finds its predecessor's memory still in use ends, and is started again.
    async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_TIMEOUT;
        let answers = async |server: &Self| -> Result<(), tokio_postgres::Error> {
            server.admin().await?.batch_execute("SELECT 1").await
        };
        while answers(self).await.is_err() {
            assert!(
                Instant::now() < deadline,
                "PostgreSQL does not start: {}",
                fs::read_to_string(self.dir.join("log")).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
            if !matches!(self.child.try_wait(), Ok(None)) {
                self.child = spawn(&self.dir, self.port);
            }
        }
    }
}

/// A program that runs beside the server, as a pooler does.
pub struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let backends = self.backends();
        let _ = self.child.kill();
        let _ = self.child.wait();
        for backend in backends {
            signal_if_there(backend, "KILL");
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn spawn(dir: &Path, port: u16) -> Child {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .expect("the log can be written");
    let mut server = program("postgres", dir);
    server.arg("-D").arg(dir.join("data"));
    for setting in [
        &format!("port={port}"),
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        &format!("max_connections={CONNECTIONS}"),
        "shared_buffers=64MB",
    ] {
        server.args(["-c", setting]);
    }
    server
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .spawn()
        .expect("postgres runs")
}

/// A program of PostgreSQL, as whom it wants to be run: it refuses root.
fn program(name: &str, dir: &Path) -> Command {
    let path = Some(programs().join(name)).filter(|path| path.exists());
    let path = path.unwrap_or_else(|| PathBuf::from("/usr/sbin").join(name));
    let mut command = match server_user() {
        Some((user, group)) => {
            // It replaces itself by the program, so that the child is the program.
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", &user, "--regid", &group, "--clear-groups"])
                .arg(path);
            command
        }
        None => Command::new(path),
    };
    command.current_dir(dir).stdin(Stdio::null());
    command
}

/// Where PostgreSQL's programs are: the newest version's.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("postgres").exists())
        .max_by_key(|bin| {
            let version = bin.parent().and_then(Path::file_name);
            version.and_then(|version| version.to_str()?.parse::<u32>().ok())
        });
    newest.unwrap_or_else(|| {
        let search = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&search)
            .find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
            .expect("PostgreSQL's programs are missing: run `scripts/services.sh up`")
    })
}

/// Who runs the server if we are root: ids of user and group.
fn server_user() -> Option<(String, String)> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    if ids.split_whitespace().nth(1) != Some("0") {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids_of = |name: &str| {
        let mut fields = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&name))?
            .into_iter()
            .skip(2);
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    };
    ids_of("postgres").or_else(|| ids_of("nobody"))
}
