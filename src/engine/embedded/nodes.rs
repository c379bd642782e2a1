//! The report of the one process, in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::port::{ClusterFigures, GateError, NODE_ENTRY_TTL, NodeEntry, NodeReport};

/// Keeps reports until they are too old.
#[derive(Debug, Default)]
pub struct MemoryFigures(Mutex<BTreeMap<String, (Instant, NodeReport)>>);

impl MemoryFigures {
    fn reports(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, NodeReport)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ClusterFigures for MemoryFigures {
    async fn write_node(&self, report: &NodeReport) -> Result<(), GateError> {
        let mut reports = self.reports();
        reports.retain(|_, (at, _)| at.elapsed() <= NODE_ENTRY_TTL);
        reports.insert(report.id.clone(), (Instant::now(), report.clone()));
        Ok(())
    }

    async fn remove_node(&self, id: &str) -> Result<(), GateError> {
        self.reports().remove(id);
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<NodeEntry>, GateError> {
        let reports = self.reports();
        let entries = reports.values().map(|(at, report)| NodeEntry {
            report: report.clone(),
            age: at.elapsed(),
        });
        Ok(entries
            .filter(|entry| entry.age <= NODE_ENTRY_TTL)
            .collect())
    }
}
