//! Plugins, categories and statistics of an organization. A disabled plugin's secrets are withheld from boots. Holds no
//! value.

mod categories;
mod plugins;
mod scope;
mod statistics;
mod variables;

pub use categories::{CategoryState, NewCategory};
pub use plugins::{Need, NewPlugin, PluginState};
pub use statistics::Statistics;
pub use variables::{SetVariables, Variable, VariableAssignment};

use crate::domain::audit::AuditAction;
use crate::domain::catalog::Presets;
use crate::domain::role::Action;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;

impl Store {
    /// The presets: the program's, and those that its operator added.
    pub fn presets(&self) -> &Presets {
        // Parsed once, at the first use: most processes never need them.
        self.inner.presets.get_or_init(Presets::builtin)
    }

    /// As [`presets`](Self::presets), for who may read the catalog.
    pub async fn presets_for(&self, caller: &Caller) -> Result<&Presets, Error> {
        self.permit(caller, Action::ReadCatalog, AuditAction::CatalogRead, None).await?;
        Ok(self.presets())
    }

    /// Sets the presets once, before their first use. Later calls change nothing.
    #[must_use]
    pub fn with_presets(self, presets: Presets) -> Self {
        let _ = self.inner.presets.set(presets);
        self
    }
}
