//! Launchers, and the caller's acceptance of them.

use http::Method;

use super::api_client::Client;
use super::error::CallError;
use super::list::Pages;
use crate::domain::id::MemberId;
use crate::wire::{AcceptLauncherRequest, LauncherView, paths};

impl Client {
    /// Lists launchers: `GET /v1/launchers`.
    pub(crate) fn launchers() -> Pages<LauncherView> {
        Pages::new(paths::LAUNCHERS, &[])
    }

    /// Returns one launcher: `GET /v1/launchers/{name}`.
    pub(crate) async fn launcher(&mut self, name: &str) -> Result<LauncherView, CallError> {
        self.get(paths::fill(paths::LAUNCHER, name)).await
    }

    /// Accepts the launcher that has this id: `PUT /v1/launchers/{name}/acceptance`.
    pub(crate) async fn accept_launcher(
        &mut self,
        name: &str,
        id: MemberId,
    ) -> Result<LauncherView, CallError> {
        let request = AcceptLauncherRequest { id: id.to_string().into() };
        self.write(Method::PUT, paths::fill(paths::ACCEPTANCE, name), &request, None).await
    }

    /// Withdraws the acceptance: `DELETE /v1/launchers/{name}/acceptance`.
    pub(crate) async fn withdraw_acceptance(&mut self, name: &str) -> Result<LauncherView, CallError> {
        self.delete(paths::fill(paths::ACCEPTANCE, name), None).await
    }
}
