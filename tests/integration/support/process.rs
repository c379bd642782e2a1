//! A real `flashsale` process: started, watched, paused, killed.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Lines that are still coming.
type Lines = Arc<Mutex<Vec<String>>>;

/// A child process; what it prints is kept. Killed when dropped.
pub struct Process {
    child: Mutex<Child>,
    lines: Lines,
    /// Those of standard output alone.
    answer: Lines,
    /// They end when the process has closed what they read.
    readers: [JoinHandle<()>; 2],
    name: String,
}

impl Process {
    /// Starts the binary with this environment and nothing else.
    pub fn start(arguments: &[&str], environment: &BTreeMap<String, String>) -> Self {
        let program = env!("CARGO_BIN_EXE_flashsale");
        Self::start_program(program.as_ref(), arguments, environment)
    }

    /// The same with another program.
    pub fn start_program(
        program: &OsStr,
        arguments: &[&str],
        environment: &BTreeMap<String, String>,
    ) -> Self {
        // reqwest comes without cryptography of its own: the program's clients are given theirs, those of the tests take the process's.
        // It fails if there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            // No .env of the checkout.
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (lines, answer) = (Lines::default(), Lines::default());
        let readers = [
            keep(child.stderr.take().unwrap(), vec![Arc::clone(&lines)]),
            keep(
                child.stdout.take().unwrap(),
                vec![Arc::clone(&lines), Arc::clone(&answer)],
            ),
        ];
        Self {
            child: Mutex::new(child),
            lines,
            answer,
            readers,
            name: arguments.join(" "),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        matches!(self.child.lock().unwrap().try_wait(), Ok(None))
    }

    /// Everything printed so far.
    pub fn output(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// What was printed to standard output so far.
    pub fn answer(&self) -> String {
        self.answer.lock().unwrap().join("\n")
    }

    /// Waits for the end: whether it was a good one, and everything printed.
    pub async fn outcome(&self) -> (bool, String) {
        let success = self.end().await.success();
        (success, self.output())
    }

    /// Waits for a line that contains this text.
    pub async fn wait_for_line(&self, text: &str) -> String {
        self.wait_for_line_within(text, Duration::from_secs(30))
            .await
    }

    pub async fn wait_for_line_within(&self, text: &str, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        loop {
            let found = self
                .lines
                .lock()
                .unwrap()
                .iter()
                .find(|line| line.contains(text))
                .cloned();
            if let Some(line) = found {
                return line;
            }
            let over = self.child.lock().unwrap().try_wait().unwrap();
            assert!(
                over.is_none(),
                "`{}` ended ({over:?}) without {text:?}:\n{}",
                self.name,
                self.output()
            );
            assert!(
                Instant::now() < deadline,
                "`{}` did not print {text:?}:\n{}",
                self.name,
                self.output()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for the end, and for all that was printed before it.
    pub async fn end(&self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let ended = self.child.lock().unwrap().try_wait().unwrap();
            if let Some(status) = ended
                && self.readers.iter().all(JoinHandle::is_finished)
            {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "`{}` does not end:\n{}",
                self.name,
                self.output()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// As Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// kill -9.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        send_signal(self.child.lock().unwrap().id(), name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self
            .child
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} printed:\n{}", self.name, self.output());
        }
    }
}

/// Sends a signal to a process that must be there.
pub fn send_signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status();
    assert!(
        sent.is_ok_and(|status| status.success()),
        "kill -{name} {pid}"
    );
}

/// The same to a process that may have ended by itself.
pub fn signal_if_there(pid: u32, name: &str) {
    let _ = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// A port of the loopback interface that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().unwrap().port()
}

/// The environment of a process whose machine's clock is off. By the first two, timers see the wrong clock as well; the others
/// leave them the right one, as on a real machine.
pub fn faketime(offset: &str) -> Vec<(&'static str, String)> {
    // Not the program `faketime`: it would be the process that is stopped, and the node would outlive the test.
    let library = format!(
        "/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1",
        std::env::consts::ARCH
    );
    assert!(
        std::path::Path::new(&library).exists(),
        "{library} is missing; scripts/services.sh installs faketime"
    );
    vec![
        ("LD_PRELOAD", library),
        ("FAKETIME", offset.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

/// Keeps the lines of a pipe in each of these places.
fn keep(pipe: impl Read + Send + 'static, places: Vec<Lines>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            for place in &places {
                place.lock().unwrap().push(line.clone());
            }
        }
    })
}

/// The one line that says what went wrong.
pub fn complaint(output: &str) -> &str {
    let mut complaints = output.lines().filter(|line| line.starts_with("flashsale:"));
    let complaint = complaints
        .next()
        .unwrap_or_else(|| panic!("no complaint in {output}"));
    assert_eq!(complaints.next(), None, "one is enough: {output}");
    complaint
}
