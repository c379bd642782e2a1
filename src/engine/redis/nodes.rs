//! The reports of all processes of a ledger, in one hash: process id to the time of writing and the report as JSON.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use fred::prelude::Value;

use super::{
    RedisGate,
    keys::nodes_key,
    reply::{self, unexpected},
    scripts::SCRIPTS,
};
use crate::port::{ClusterFigures, GateError, NODE_ENTRY_TTL, NodeEntry, NodeReport};

#[async_trait]
impl ClusterFigures for RedisGate {
    async fn write_node(&self, report: &NodeReport) -> Result<(), GateError> {
        let text = serde_json::to_string(report)
            .map_err(|error| GateError::Refused(format!("a report cannot be written: {error}")))?;
        let ttl = i64::try_from(NODE_ENTRY_TTL.as_millis()).unwrap_or(i64::MAX);
        let args = vec![report.id.clone().into(), text.into(), ttl.into()];
        let keys = vec![nodes_key(self.ledger.tag())];
        self.connection
            .run(&SCRIPTS.write_node, keys, args)
            .await
            .map(drop)
    }

    async fn remove_node(&self, id: &str) -> Result<(), GateError> {
        let keys = vec![nodes_key(self.ledger.tag())];
        self.connection
            .run(&SCRIPTS.remove_node, keys, vec![id.into()])
            .await
            .map(drop)
    }

    async fn nodes(&self) -> Result<Vec<NodeEntry>, GateError> {
        let keys = vec![nodes_key(self.ledger.tag())];
        let answer = self
            .connection
            .run(&SCRIPTS.list_nodes, keys, Vec::new())
            .await?;
        let answer = reply::list(answer)?;
        let [now, reports] = answer.as_slice() else {
            return Err(unexpected("not a time and reports"));
        };
        let now = reply::count(now)?;
        let reports = reply::list(reports.clone())?;
        // HSCAN may return an entry twice.
        let entries = reports.iter().filter_map(|report| parse(now, report));
        let by_id: BTreeMap<String, NodeEntry> = entries
            .map(|entry| (entry.report.id.clone(), entry))
            .collect();
        Ok(by_id.into_values().collect())
    }
}

/// A stored report. `None` if it is of a process that has ended, or of a version whose reports this one does not understand.
fn parse(now: u64, stored: &Value) -> Option<NodeEntry> {
    let (written, report) = reply::text(stored).ok()?.split_once(' ')?;
    // The clock may have been set back since.
    let age = Duration::from_millis(now.saturating_sub(written.parse().ok()?));
    if age > NODE_ENTRY_TTL {
        return None;
    }
    let report = serde_json::from_str(report).ok()?;
    Some(NodeEntry { report, age })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"id":"api-1","kind":"api","version":"9.9.9","startedAt":"2030-11-29T12:00:00Z","status":"ready","api":{"connections":7,"news":1}}"#;

    #[test]
    fn a_report_of_another_version_is_read_as_far_as_it_is_understood() {
        let entry = parse(5_400, &format!("5000 {REPORT}").into()).unwrap();
        assert_eq!(entry.age, Duration::from_millis(400));
        let api = entry.report.api.unwrap();
        assert_eq!((api.connections, api.listeners), (7, 0));
        assert_eq!(entry.report.worker, None);
        let other_kind = REPORT.replace(r#""kind":"api""#, r#""kind":"cache""#);
        assert_eq!(parse(5_400, &format!("5000 {other_kind}").into()), None);
    }

    #[test]
    fn an_old_report_is_passed_over() {
        assert!(parse(15_000, &format!("5000 {REPORT}").into()).is_some());
        assert_eq!(parse(15_001, &format!("5000 {REPORT}").into()), None);
        assert!(parse(1, &format!("5000 {REPORT}").into()).is_some());
    }
}
