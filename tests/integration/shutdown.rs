//! SIGTERM to processes whose servers are all gone: they end within the time that docs/OPERATIONS.md gives, by themselves.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    api::Api,
    broker::Broker,
    kafka,
    postgres::TestDatabase,
    postgres_server::PostgresServer,
    process::{Process, faketime, free_port},
    redis::{RedisOptions, RedisServer},
    system::{OneProcess, Servers, System},
    wait_until,
};

const DRAIN_DELAY: Duration = Duration::from_secs(1);
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);
/// What docs/OPERATIONS.md adds to both.
const REST: Duration = Duration::from_secs(5);
/// For a busy machine to take notice.
const SLACK: Duration = Duration::from_secs(1);
/// How long a node may take to say that it is not ready.
const NOTICED: Duration = Duration::from_secs(10);

/// Servers of a test's own, which are paused or killed together.
struct OwnServers {
    redis: RedisServer,
    postgres: PostgresServer,
    broker: Broker,
}

impl OwnServers {
    async fn start() -> (Self, Servers) {
        let servers = Self {
            redis: RedisServer::start(RedisOptions::default()),
            postgres: PostgresServer::start().await,
            broker: Broker::start().await,
        };
        let database = TestDatabase::create_on(servers.postgres.config("shop")).await;
        let redis = servers.redis.config(Duration::from_secs(2));
        let kafka = kafka::config_of(vec![servers.broker.address()]);
        let mut system = Servers::of(database, None, redis, kafka).await;
        for (name, period) in [
            ("DRAIN_DELAY_SECS", DRAIN_DELAY),
            ("SHUTDOWN_TIMEOUT_SECS", SHUTDOWN_TIMEOUT),
        ] {
            let secs = period.as_secs().to_string();
            system.environment.insert(name.to_owned(), secs);
        }
        (servers, system)
    }

    fn pause(&self) {
        self.redis.pause();
        self.postgres.pause();
        self.broker.pause();
    }

    fn resume(&self) {
        self.redis.resume();
        self.postgres.resume();
        self.broker.resume();
    }

    fn kill(&mut self) {
        self.redis.kill();
        self.postgres.kill();
        self.broker.kill();
    }

    async fn restart(&mut self) {
        self.redis.restart();
        self.postgres.restart().await;
        self.broker.restart().await;
    }
}

/// Nodes and a worker that have noticed what became of their servers, with presses under way.
async fn end_without_servers(system: &Servers, lose: impl FnOnce()) {
    let clock_off = faketime("+600s");
    let clock_off: Vec<_> = clock_off
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    // `faketime` shifts the clock that timers use as well, unless told not to.
    let apis = [
        system.serve().await,
        system.serve_with(&clock_off[..2]).await,
        system.serve_with(&clock_off).await,
    ];
    let workers = [system.work().await, {
        let worker = system.run_with(&["work"], &clock_off[..2]);
        worker.wait_for_line("working").await;
        worker
    }];
    let (sale, _) = system.sale(50).await;
    system.wait_until_open(sale).await;
    let shoppers = system.shoppers(10).await;
    assert_eq!(apis[0].attempt(sale, &shoppers[0]).await.0, 200);
    lose();
    for api in &apis {
        wait_until("the node is not ready", NOTICED, || async {
            api.get("/health/ready", None).await.0 == 503
        })
        .await;
    }
    let presses: Vec<_> = apis
        .iter()
        .flat_map(|api| shoppers.iter().map(move |shopper| (api, shopper)))
        .map(|(api, shopper)| {
            let press = api
                .http
                .post(format!("{}/api/flash-sale/attempt/{sale}", api.url))
                .bearer_auth(&shopper.token);
            tokio::spawn(press.send())
        })
        .collect();
    let processes: Vec<&Process> = apis
        .iter()
        .map(|api| &api.process)
        .chain(&workers)
        .collect();
    for process in &processes {
        process.terminate();
    }
    let begun = Instant::now();
    for process in processes {
        let status = process.end().await;
        let took = begun.elapsed();
        eprintln!("ended after {took:?} with {status}");
        let bound = DRAIN_DELAY + SHUTDOWN_TIMEOUT + REST + SLACK;
        assert!(took < bound, "{took:?}:\n{}", process.output());
    }
    for press in presses {
        press.abort();
    }
}

#[tokio::test]
async fn processes_end_in_time_while_all_their_servers_are_paused_or_dead() {
    let (mut servers, system) = OwnServers::start().await;
    end_without_servers(&system, || servers.pause()).await;
    servers.resume();
    end_without_servers(&system, || servers.kill()).await;
    servers.restart().await;
}

#[tokio::test]
async fn a_second_signal_ends_processes_at_once_while_all_their_servers_are_paused() {
    let (servers, system) = OwnServers::start().await;
    let long = [
        ("DRAIN_DELAY_SECS", "600"),
        ("SHUTDOWN_TIMEOUT_SECS", "600"),
    ];
    let api = system.serve_with(&long).await;
    let worker = system.run_with(&["work"], &long);
    worker.wait_for_line("working").await;
    servers.pause();
    // One that waits for its servers at its start.
    let starting = system.run_with(&["serve"], &long);
    wait_until("the node is not ready", NOTICED, || async {
        api.get("/health/ready", None).await.0 == 503
    })
    .await;
    let Api { process: api, .. } = api;
    for process in [&api, &worker, &starting] {
        process.terminate();
    }
    // The worker has nothing that it has to wait for.
    for process in [&api, &starting] {
        process.wait_for_line("a second signal ends at once").await;
    }
    let begun = Instant::now();
    for process in [&api, &worker, &starting] {
        if process.is_running() {
            process.terminate();
        }
        process.end().await;
        assert!(begun.elapsed() < SLACK * 2, "{}", process.output());
    }
    servers.resume();
}

/// Nothing keeps a process that has nothing to do until its deadline.
async fn idle_process_ends_at_once<S: System>() {
    let system = S::start().await;
    let api = system.serve().await;
    let asked = Instant::now();
    api.process.interrupt();
    let ended = api.process.end().await;
    let (took, output) = (asked.elapsed(), api.process.output());
    assert!(ended.success() && output.contains("stopped"), "{output}");
    assert!(took < REST, "it took {took:?}: {output}");
}

#[tokio::test]
async fn an_idle_api_ends_at_once() {
    idle_process_ends_at_once::<Servers>().await;
}

#[tokio::test]
async fn an_idle_embedded_system_ends_at_once() {
    idle_process_ends_at_once::<OneProcess>().await;
}

/// The kernel spares process 1 of a container signals without a handler.
#[tokio::test]
async fn a_job_that_is_process_1_of_its_container_ends_at_sigterm() {
    // Without root, a namespace of users makes one of processes possible.
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let users: &[&str] = if is_root {
        &[]
    } else {
        &["--user", "--map-root-user"]
    };
    let mut container = Command::new("unshare")
        .args(users)
        .args(["--pid", "--fork", "--kill-child"])
        .args([env!("CARGO_BIN_EXE_flashsale"), "migrate", "run"])
        .env_clear()
        .env("POSTGRES_HOST", "127.0.0.1")
        // Nobody listens there: it waits for the server.
        .env("POSTGRES_PORT", "1")
        .stderr(Stdio::piped())
        .spawn()
        .expect("unshare of util-linux starts");
    let children = format!("/proc/{0}/task/{0}/children", container.id());
    let mut output = BufReader::new(container.stderr.take().unwrap()).lines();
    let waits = tokio::task::spawn_blocking(move || {
        output.any(|line| line.is_ok_and(|line| line.contains("waiting up to")))
    });
    assert!(waits.await.unwrap(), "it waits for PostgreSQL");
    let job = std::fs::read_to_string(children).unwrap();
    let killed = Command::new("kill").args(["-TERM", job.trim()]).status();
    assert!(killed.unwrap().success());
    let begun = Instant::now();
    while container.try_wait().unwrap().is_none() && begun.elapsed() < NOTICED {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ended = container.try_wait().unwrap();
    container.kill().unwrap();
    assert_eq!(ended.and_then(|status| status.code()), Some(143));
}

/// The program that collects the log may end before the node does.
#[tokio::test]
async fn a_node_whose_log_nobody_reads_any_more_serves_and_ends_well() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut node = Command::new(env!("CARGO_BIN_EXE_flashsale"))
        .args(["serve", "--embedded"])
        .env_clear()
        .env("HOST", "127.0.0.1")
        .env("PORT", port.to_string())
        .env("FLASHSALE_DATA_DIR", directory.path().join("data"))
        .env("DRAIN_DELAY_SECS", "0")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(node.stderr.take());
    let url = format!("http://127.0.0.1:{port}/health/ready");
    wait_until("the node is ready", Duration::from_secs(30), || async {
        reqwest::get(&url)
            .await
            .is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    let id = node.id().to_string();
    let told = Command::new("kill").args(["-TERM", &id]).status();
    assert!(told.unwrap().success());
    let begun = Instant::now();
    while node.try_wait().unwrap().is_none() && begun.elapsed() < NOTICED {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ended = node.try_wait().unwrap();
    node.kill().unwrap();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
}
