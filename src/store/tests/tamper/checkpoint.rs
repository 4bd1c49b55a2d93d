//! Checkpoints of the log that somebody keeps elsewhere.

use std::collections::BTreeMap;

use super::super::*;
use super::history::History;
use crate::crypto::checkpoint_file::{CheckpointFile, Continuity};

/// A checkpoint, and the step after which it was made.
pub(super) struct KeptCheckpoint {
    file: CheckpointFile,
    pub(super) step: usize,
}

impl History {
    pub(super) async fn keep_checkpoint(&mut self) {
        let step = self.past.len() - 1;
        let file = self.read_checkpoint(None).await.unwrap();
        self.checkpoint = Some(KeptCheckpoint { file, step });
        self.remember().await;
    }

    /// Whether the log of the first server continues the checkpoint that was kept.
    pub(super) async fn continues_checkpoint(&self) -> bool {
        let Some(KeptCheckpoint { file, .. }) = &self.checkpoint else { return true };
        let now = self.read_checkpoint(Some(file)).await;
        now.is_ok_and(|now| file.compare(&now).iter().all(|chain| chain.state == Continuity::Continued))
    }

    async fn read_checkpoint(&self, since: Option<&CheckpointFile>) -> Result<CheckpointFile, Error> {
        let known = since.iter().flat_map(|file| &file.chains);
        let sizes: BTreeMap<String, u64> =
            known.map(|(chain, known)| (chain.clone(), known.head.size)).collect();
        let text = self.world.store.checkpoint_audit(&self.world.operator, &sizes).await?;
        Ok(CheckpointFile::parse(&text).unwrap())
    }
}
