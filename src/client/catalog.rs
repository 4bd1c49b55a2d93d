//! Plugins, categories, presets, statistics, and the export of the audit log.

use std::io;

use http::Method;

use super::api_client::Client;
use super::error::CallError;
use super::list::{AuditListFilter, Pages};
use crate::wire::{
    CategoryView, DeclareCategoryRequest, DeclarePluginRequest, PluginView, PresetView, StatisticsView,
    UpdatePluginRequest, paths,
};

impl Client {
    /// Lists plugins: `GET /v1/plugins`.
    pub(crate) fn plugins() -> Pages<PluginView> {
        Pages::new(paths::PLUGINS, &[]).unpaged()
    }

    /// Returns one plugin: `GET /v1/plugins/{name}`.
    pub(crate) async fn plugin(&mut self, name: &str) -> Result<PluginView, CallError> {
        self.get(paths::fill(paths::PLUGIN, name)).await
    }

    /// Declares a plugin: `PUT /v1/plugins/{name}`.
    pub(crate) async fn put_plugin(
        &mut self,
        name: &str,
        declaration: &DeclarePluginRequest,
    ) -> Result<PluginView, CallError> {
        self.write(Method::PUT, paths::fill(paths::PLUGIN, name), declaration, None).await
    }

    /// Enables or disables a plugin: `PATCH /v1/plugins/{name}`.
    pub(crate) async fn change_plugin(
        &mut self,
        name: &str,
        change: &UpdatePluginRequest,
    ) -> Result<PluginView, CallError> {
        self.write(Method::PATCH, paths::fill(paths::PLUGIN, name), change, None).await
    }

    /// Removes a plugin's declaration: `DELETE /v1/plugins/{name}`.
    pub(crate) async fn remove_plugin(&mut self, name: &str) -> Result<(), CallError> {
        self.remove(paths::fill(paths::PLUGIN, name)).await
    }

    /// Lists categories: `GET /v1/categories`.
    pub(crate) fn categories() -> Pages<CategoryView> {
        Pages::new(paths::CATEGORIES, &[]).unpaged()
    }

    /// Declares a category: `PUT /v1/categories/{name}`.
    pub(crate) async fn put_category(
        &mut self,
        name: &str,
        declaration: &DeclareCategoryRequest,
    ) -> Result<CategoryView, CallError> {
        self.write(Method::PUT, paths::fill(paths::CATEGORY, name), declaration, None).await
    }

    /// Removes a category: `DELETE /v1/categories/{name}`.
    pub(crate) async fn remove_category(&mut self, name: &str) -> Result<(), CallError> {
        self.remove(paths::fill(paths::CATEGORY, name)).await
    }

    /// Lists presets: `GET /v1/presets`.
    pub(crate) fn presets() -> Pages<PresetView> {
        Pages::new(paths::PRESETS, &[]).unpaged()
    }

    /// Counts the secrets that the caller may see: `GET /v1/statistics`.
    pub(crate) async fn statistics(&mut self) -> Result<StatisticsView, CallError> {
        self.get(paths::STATISTICS.to_owned()).await
    }

    /// Streams the audit log as JSON lines, newest first, to `sink`: `GET /v1/audit/export`.
    pub(crate) async fn export_audit(
        &mut self,
        filter: &AuditListFilter,
        sink: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<(), CallError> {
        self.stream(paths::with_query(paths::AUDIT_EXPORT, &filter.query_pairs()), sink).await
    }
}
