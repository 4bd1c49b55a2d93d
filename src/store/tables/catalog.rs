//! Plugins, the list of them that boots read, and categories.

use std::collections::BTreeMap;

use crate::domain::catalog::CategoryForm;
use crate::domain::id::OrgId;
use crate::domain::name::{Category, Label, PluginName, SecretName};
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const PLUGINS: Table = Table::new(b'p', "plugins");
pub(crate) const PLUGIN_LIST: Table = Table::new(b'P', "plugin list");
pub(crate) const CATEGORIES: Table = Table::new(b'c', "categories");

impl Records {
    /// Returns the prefix of the plugins that an organization declares.
    pub(crate) fn plugins(&self, org: OrgId) -> Prefix<PluginRecord> {
        self.grouped(&PLUGINS, &[org.as_bytes()])
    }

    pub(crate) fn plugin(&self, org: OrgId, name: &PluginName) -> Key<PluginRecord> {
        // Under the prefix of the organization, so that one scan lists all, and hashed, so that no name shows.
        let parts: [&[u8]; 2] = [org.as_bytes(), name.as_str().as_bytes()];
        self.plugins(org).key(&self.key.key_hash("plugin name", &parts))
    }

    pub(crate) fn plugin_list(&self, org: OrgId) -> Key<PluginsRecord> {
        self.hashed(&PLUGIN_LIST, &[org.as_bytes()])
    }

    pub(crate) fn categories(&self, org: OrgId) -> Key<CategoriesRecord> {
        self.hashed(&CATEGORIES, &[org.as_bytes()])
    }
}

/// What an organization declares of one plugin.
#[derive(Clone)]
pub(crate) struct PluginRecord {
    pub(crate) name: PluginName,
    pub(crate) title: Option<Label>,
    pub(crate) required: Vec<SecretName>,
    pub(crate) optional: Vec<SecretName>,
    pub(crate) enabled: bool,
    pub(crate) updated_at: Timestamp,
}

stored! {
    StoredPluginV1 = PluginRecord {
        name: String,
        title: Option<String>,
        required: Vec<String>,
        optional: Vec<String>,
        enabled: bool,
        updated_at: i64,
    }
}

record! { PluginRecord {} newest 1 => StoredPluginV1 }

/// Which plugins are declared, and whether each is enabled: the one record that a boot reads.
#[derive(Clone, Default)]
pub(crate) struct PluginsRecord {
    pub(crate) enabled: BTreeMap<PluginName, bool>,
}

stored! {
    StoredPluginListV1 = PluginsRecord { enabled: Vec<(String, bool)> }
}

record! { PluginsRecord {} newest 1 => StoredPluginListV1 }

/// The categories that an organization declares.
#[derive(Clone, Default)]
pub(crate) struct CategoriesRecord {
    pub(crate) forms: BTreeMap<Category, CategoryForm>,
}

stored! {
    StoredCategoryV1 = CategoryForm { title: String, colour: String, description: String }
}

stored! {
    StoredCategoriesV1 = CategoriesRecord { forms: Vec<(String, StoredCategoryV1)> }
}

record! { CategoriesRecord {} newest 1 => StoredCategoriesV1 }
