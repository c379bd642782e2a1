//! Reads how the servers behind the gate are set up, for `doctor`, on a connection to each node. The gate's check of permissions
//! is run as well; it writes only to probe keys.

use super::{
    client::{self, Address, ConnectError, Login},
    connection::PROBE_KEY,
    opening::open_session,
    reply, rights, sentinel,
    session::{Failed, Session},
};
use crate::{
    clock::Clock,
    config::{RedisConfig, with_port},
};

/// Maximum number of masters of a cluster that are inspected.
const MAX_MASTERS: usize = 100;

/// The setup of the server or the cluster.
#[derive(Debug, Clone)]
pub struct Inspection {
    pub cluster: Option<Cluster>,
    /// The server, or every master of the cluster.
    pub nodes: Vec<Node>,
}

/// The state of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// `ok` if every slot is served.
    pub state: String,
    /// Number of slots that are served, of 16,384.
    pub slots_ok: u64,
    /// Number of masters that are marked as failing by the node that was asked.
    pub failing: usize,
}

/// One server.
#[derive(Debug, Clone)]
pub struct Node {
    /// `host:port`
    pub address: String,
    pub version: String,
    pub is_replica: bool,
    pub is_clustered: bool,
    /// `maxmemory-policy`
    pub eviction: String,
    /// Memory limit in bytes; 0 if there is none.
    pub max_memory: u64,
    /// Memory in use, in bytes.
    pub used_memory: u64,
    pub append_only: bool,
    /// Whether the server is configured to write snapshots; `None` if it refuses to say.
    pub snapshots: Option<bool>,
    pub clients: u64,
    /// `None` if the server does not report it.
    pub max_clients: Option<u64>,
    /// How far the server's clock is ahead of this process's, in milliseconds.
    pub clock_ahead_ms: i64,
}

/// Inspects the configured server and, if it belongs to a cluster, all masters.
pub async fn inspect(config: &RedisConfig, clock: &dyn Clock) -> Result<Inspection, ConnectError> {
    let config = &at_primary(config).await?;
    let (first, cluster, masters) = inspect_node(config, clock, true).await?;
    // Connects as the gate does at its start. A node of a cluster and a replica are left out: the gate would fail on them for a
    // reason that `doctor` reports from the values read here.
    if !first.is_clustered && !first.is_replica {
        match open_session(config, &Address::of(config), PROBE_KEY).await {
            Err(error) if !error.is_passing() => return Err(error),
            _ => {}
        }
    }
    let mut nodes = Vec::new();
    for (host, port) in masters.into_iter().take(MAX_MASTERS) {
        let node = RedisConfig {
            host,
            port,
            ..config.clone()
        };
        nodes.push(inspect_node(&node, clock, false).await?.0);
    }
    if nodes.is_empty() {
        nodes.push(first);
    }
    Ok(Inspection { cluster, nodes })
}

/// The configuration, with the primary's address if Sentinels are configured.
async fn at_primary(config: &RedisConfig) -> Result<RedisConfig, ConnectError> {
    let mut found = config.clone();
    if let Some(sentinels) = &config.sentinel {
        let primary = sentinel::find(config, sentinels).await?;
        (found.host, found.port) = (primary.host, primary.port);
    }
    Ok(found)
}

/// A node, the cluster's state if it was read, and the addresses of the cluster's masters.
type NodeInspection = (Node, Option<Cluster>, Vec<(String, u16)>);

/// Inspects one server and, `with_cluster`, the cluster that it belongs to.
async fn inspect_node(
    config: &RedisConfig,
    clock: &dyn Clock,
    with_cluster: bool,
) -> Result<NodeInspection, ConnectError> {
    let inspection = async {
        let session = Session::bare(config, &Address::of(config), Login::of(config)).await?;
        let node = node(config, &session, clock).await?;
        if !(with_cluster && node.is_clustered) {
            return Ok((node, None, Vec::new()));
        }
        let state = ask(config, &session, "CLUSTER", &["INFO"]).await?;
        let nodes = ask(config, &session, "CLUSTER", &["NODES"]).await?;
        let (masters, failing) = masters(&nodes, &config.host);
        let cluster = Cluster {
            state: value(&state, "cluster_state")
                .unwrap_or_default()
                .to_owned(),
            slots_ok: number(&state, "cluster_slots_ok").unwrap_or(0),
            failing,
        };
        Ok((node, Some(cluster), masters))
    };
    tokio::time::timeout(client::connect_timeout(config), inspection)
        .await
        .unwrap_or_else(|_| Err(ConnectError::Unreachable("no answer in time".to_owned())))
}

async fn node(
    config: &RedisConfig,
    session: &Session,
    clock: &dyn Clock,
) -> Result<Node, ConnectError> {
    let refused = |failed: Failed| rights::missing_or(config, session, failed);
    let before = clock.now();
    let time = session
        .command("TIME", Vec::new(), false)
        .await
        .map_err(refused)?;
    let midway = before + (clock.now() - before) / 2;
    let parts: Vec<i64> = reply::list(time)
        .unwrap_or_default()
        .iter()
        .filter_map(|part| reply::number(part).ok())
        .collect();
    let server_ms = match parts[..] {
        [secs, micros] => secs * 1_000 + micros / 1_000,
        _ => midway.timestamp_millis(),
    };
    let info = ask(config, session, "INFO", &["all"]).await?;
    // Managed servers may forbid CONFIG.
    let save = session
        .command("CONFIG", vec!["GET".into(), "save".into()], false)
        .await;
    let save = save
        .ok()
        .and_then(|pair| reply::list(pair).ok())
        .and_then(|pair| {
            let save = pair.get(1)?;
            reply::text(save).ok().map(|save| !save.is_empty())
        });
    Ok(Node {
        address: with_port(&config.host, config.port),
        version: value(&info, "redis_version").unwrap_or_default().to_owned(),
        is_replica: value(&info, "role") == Some("slave"),
        is_clustered: value(&info, "cluster_enabled") == Some("1"),
        eviction: value(&info, "maxmemory_policy")
            .unwrap_or_default()
            .to_owned(),
        max_memory: number(&info, "maxmemory").unwrap_or(0),
        used_memory: number(&info, "used_memory").unwrap_or(0),
        append_only: value(&info, "aof_enabled") == Some("1"),
        snapshots: save,
        clients: number(&info, "connected_clients").unwrap_or(0),
        max_clients: number(&info, "maxclients"),
        clock_ahead_ms: server_ms - midway.timestamp_millis(),
    })
}

async fn ask(
    config: &RedisConfig,
    session: &Session,
    name: &'static str,
    args: &[&str],
) -> Result<String, ConnectError> {
    let args = args.iter().map(|arg| (*arg).into()).collect();
    let answer = session
        .command(name, args, false)
        .await
        .map_err(|failed| rights::missing_or(config, session, failed))?;
    reply::text(&answer)
        .map(ToOwned::to_owned)
        .map_err(|error| ConnectError::Unreachable(error.to_string()))
}

/// The value of a line `name:value` in a reply to INFO.
fn value<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found == name).then_some(value.trim())
    })
}

fn number(info: &str, name: &str) -> Option<u64> {
    value(info, name)?.parse().ok()
}

/// The addresses of the masters that are up, and the number of those that are marked as failing. A node that does not know its
/// own address has `host`, the address that was asked.
fn masters(nodes: &str, host: &str) -> (Vec<(String, u16)>, usize) {
    let mut up = Vec::new();
    let mut failing = 0;
    for line in nodes.lines() {
        let mut fields = line.split_whitespace().skip(1);
        let (Some(address), Some(flags)) = (fields.next(), fields.next()) else {
            continue;
        };
        let flags: Vec<_> = flags.split(',').collect();
        if !flags.contains(&"master") {
            continue;
        }
        if flags.iter().any(|flag| flag.starts_with("fail")) {
            failing += 1;
            continue;
        }
        // host:port@bus-port[,hostname]
        let address = address.split('@').next().unwrap_or_default();
        if let Some((ip, port)) = address.rsplit_once(':')
            && let Ok(port) = port.parse()
        {
            let ip = if ip.is_empty() { host } else { ip };
            up.push((ip.to_owned(), port));
        }
    }
    (up, failing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_are_read_from_a_cluster_s_own_list() {
        let nodes = "\
07c3 127.0.0.1:30004@31004,host4 slave e7d1 0 1426238317239 4 connected
67ed 127.0.0.1:30002@31002,host2 master - 0 1426238316232 2 connected 5461-10922
292f ::1:30003@31003 master,fail? - 0 1426238318243 3 connected 10923-16383
e7d1 :30001@31001,, myself,master - 0 0 1 connected 0-5460
";
        let up = vec![
            ("127.0.0.1".to_owned(), 30002),
            ("redis.example".to_owned(), 30001),
        ];
        assert_eq!(masters(nodes, "redis.example"), (up, 1));
    }

    #[test]
    fn values_are_read_from_an_info() {
        let info = "# Memory\r\nused_memory:1024\r\nmaxmemory_policy:noeviction\r\n";
        assert_eq!(number(info, "used_memory"), Some(1024));
        assert_eq!(value(info, "maxmemory_policy"), Some("noeviction"));
        assert_eq!(value(info, "maxmemory"), None);
    }
}
