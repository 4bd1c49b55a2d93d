//! Members, tokens, tickets, organizations, key slots, the audit log and the backup.

use std::io;

use http::Method;

use super::api_client::Client;
use super::error::CallError;
use super::list::{AuditListFilter, Pages};
use crate::domain::role::{OrgQuotas, OrgUsage};
use crate::wire::{
    AuditEntryView, AuditVerificationView, CheckpointRequest, ConvertMemberRequest, CreateEnrolmentRequest,
    CreateEnrolmentResponse, CreateMemberRequest, CreateMemberResponse, CreateOrgRequest, CreateOrgResponse,
    CreateTicketRequest, CreateTicketResponse, CreateTokenRequest, CreateTokenResponse, IdentityView,
    KeyslotView, LockResponse, MemberView, OrgView, RedeemEnrolmentRequest, StatusView, TicketView,
    TokenView, UpdateMemberRequest, UpdateOrgRequest, UpdateQuotasRequest, paths,
};

/// Members, their tokens, and tickets.
impl Client {
    /// Lists members: `GET /v1/members`.
    pub(crate) fn members() -> Pages<MemberView> {
        Pages::new(paths::MEMBERS, &[])
    }

    /// Returns one member: `GET /v1/members/{name}`.
    pub(crate) async fn member(&mut self, name: &str) -> Result<MemberView, CallError> {
        self.get(paths::fill(paths::MEMBER, name)).await
    }

    /// Creates a member: `POST /v1/members`.
    pub(crate) async fn create_member(
        &mut self,
        member: &CreateMemberRequest,
    ) -> Result<CreateMemberResponse, CallError> {
        self.create(paths::MEMBERS.to_owned(), member).await
    }

    /// Replaces a member's enrolment: `POST /v1/members/{name}/enrolment`. Only this response holds its code.
    pub(crate) async fn create_enrolment(
        &mut self,
        name: &str,
        enrolment: &CreateEnrolmentRequest,
    ) -> Result<CreateEnrolmentResponse, CallError> {
        self.create(paths::fill(paths::MEMBER_ENROLMENT, name), enrolment).await
    }

    /// Redeems the enrolment that is this client's credential: `POST /v1/enrolments/redeem`.
    pub(crate) async fn redeem_enrolment(
        &mut self,
        request: &RedeemEnrolmentRequest,
    ) -> Result<CreateTokenResponse, CallError> {
        // Without an idempotency key: the store shows the token once, and a second attempt is refused.
        self.write(Method::POST, paths::REDEEM.to_owned(), request, None).await
    }

    /// Appoints a manager of a service: `PUT /v1/members/{name}/managers/{manager}`.
    pub(crate) async fn add_manager(
        &mut self,
        service: &str,
        manager: &str,
    ) -> Result<MemberView, CallError> {
        self.write(Method::PUT, manager_path(service, manager), &serde_json::json!({}), None).await
    }

    /// Dismisses a manager of a service: `DELETE /v1/members/{name}/managers/{manager}`.
    pub(crate) async fn remove_manager(
        &mut self,
        service: &str,
        manager: &str,
    ) -> Result<MemberView, CallError> {
        self.write(Method::DELETE, manager_path(service, manager), &serde_json::json!({}), None).await
    }

    /// Turns the caller into a service: `POST /v1/members/{name}/convert`.
    pub(crate) async fn convert_member(
        &mut self,
        name: &str,
        request: &ConvertMemberRequest,
    ) -> Result<MemberView, CallError> {
        self.write(Method::POST, paths::fill(paths::MEMBER_CONVERT, name), request, None).await
    }

    /// Changes a member's role: `PATCH /v1/members/{name}`.
    pub(crate) async fn change_member(
        &mut self,
        name: &str,
        change: &UpdateMemberRequest,
    ) -> Result<MemberView, CallError> {
        self.write(Method::PATCH, paths::fill(paths::MEMBER, name), change, None).await
    }

    /// Removes a member: `DELETE /v1/members/{name}`.
    pub(crate) async fn remove_member(&mut self, name: &str) -> Result<(), CallError> {
        self.remove(paths::fill(paths::MEMBER, name)).await
    }

    /// Lists the tokens that the caller may see: `GET /v1/tokens`.
    pub(crate) fn tokens() -> Pages<TokenView> {
        Pages::new(paths::TOKENS, &[])
    }

    /// Creates a token: `POST /v1/tokens`. Only this response holds it.
    pub(crate) async fn create_token(
        &mut self,
        token: &CreateTokenRequest,
    ) -> Result<CreateTokenResponse, CallError> {
        self.create(paths::TOKENS.to_owned(), token).await
    }

    /// Revokes a token: `DELETE /v1/tokens/{id}`.
    pub(crate) async fn revoke_token(&mut self, id: &str) -> Result<(), CallError> {
        self.remove(paths::fill(paths::TOKEN, id)).await
    }

    /// Lists the tickets that the caller may see: `GET /v1/tickets`.
    pub(crate) fn tickets() -> Pages<TicketView> {
        Pages::new(paths::TICKETS, &[])
    }

    /// Creates a ticket: `POST /v1/tickets`. Only this response holds it.
    pub(crate) async fn create_ticket(
        &mut self,
        ticket: &CreateTicketRequest,
    ) -> Result<CreateTicketResponse, CallError> {
        self.create(paths::TICKETS.to_owned(), ticket).await
    }

    /// Revokes a ticket: `DELETE /v1/tickets/{id}`.
    pub(crate) async fn revoke_ticket(&mut self, id: &str) -> Result<(), CallError> {
        self.remove(paths::fill(paths::TICKET, id)).await
    }
}

/// Organizations.
impl Client {
    /// Lists organizations, for the operator: `GET /v1/orgs`.
    pub(crate) fn orgs() -> Pages<OrgView> {
        Pages::new(paths::ORGS, &[])
    }

    /// Creates an organization, for the operator: `POST /v1/orgs`.
    pub(crate) async fn create_org(
        &mut self,
        org: &CreateOrgRequest,
    ) -> Result<CreateOrgResponse, CallError> {
        self.create(paths::ORGS.to_owned(), org).await
    }

    /// Returns the organization's settings: `GET /v1/org`.
    pub(crate) async fn own_org(&mut self) -> Result<OrgView, CallError> {
        self.get(paths::ORG_SELF.to_owned()).await
    }

    /// Changes the organization's settings: `PATCH /v1/org`.
    pub(crate) async fn change_org(&mut self, change: &UpdateOrgRequest) -> Result<OrgView, CallError> {
        self.write(Method::PATCH, paths::ORG_SELF.to_owned(), change, None).await
    }

    /// Returns what the organization uses of its budgets and quotas: `GET /v1/org/usage`.
    pub(crate) async fn org_usage(&mut self) -> Result<OrgUsage, CallError> {
        self.get(paths::ORG_USAGE.to_owned()).await
    }

    /// Returns the quotas of an organization, for the operator: `GET /v1/orgs/{name}/quotas`.
    pub(crate) async fn org_quotas(&mut self, name: &str) -> Result<OrgQuotas, CallError> {
        self.get(paths::fill(paths::ORG_QUOTAS, name)).await
    }

    /// Changes the quotas of an organization, for the operator: `PATCH /v1/orgs/{name}/quotas`.
    pub(crate) async fn set_quotas(
        &mut self,
        name: &str,
        change: &UpdateQuotasRequest,
    ) -> Result<OrgQuotas, CallError> {
        self.write(Method::PATCH, paths::fill(paths::ORG_QUOTAS, name), change, None).await
    }
}

/// The store.
impl Client {
    /// Returns the store's state, and who the caller is: `GET /v1/status`.
    pub(crate) async fn status(&mut self) -> Result<StatusView, CallError> {
        self.get(paths::STATUS.to_owned()).await
    }

    /// Who the credential belongs to: `GET /v1/whoami`.
    pub(crate) async fn who_am_i(&mut self) -> Result<IdentityView, CallError> {
        self.get(paths::WHOAMI.to_owned()).await
    }

    /// Drops the release key: `POST /v1/lock`.
    pub(crate) async fn lock(&mut self) -> Result<LockResponse, CallError> {
        self.post_nothing(paths::LOCK.to_owned()).await
    }

    /// Lists key slots: `GET /v1/keyslots`.
    pub(crate) fn keyslots() -> Pages<KeyslotView> {
        Pages::new(paths::KEYSLOTS, &[])
    }

    /// Removes a key slot: `DELETE /v1/keyslots/{id}`.
    pub(crate) async fn remove_keyslot(&mut self, id: &str) -> Result<(), CallError> {
        self.remove(paths::fill(paths::KEYSLOT, id)).await
    }

    /// Lists the audit log, newest first: `GET /v1/audit`.
    pub(crate) fn audit(filter: &AuditListFilter) -> Pages<AuditEntryView> {
        Pages::new(paths::AUDIT, &filter.query_pairs())
    }

    /// Verifies the audit log: `GET /v1/audit/verify`.
    pub(crate) async fn verify_audit(&mut self, state: bool) -> Result<AuditVerificationView, CallError> {
        // It reads every entry, which can take minutes.
        self.get_slowly(format!("{}?state={state}", paths::AUDIT_VERIFY)).await
    }

    /// Makes checkpoints of the audit log, as the text of a file: `POST /v1/audit/checkpoint`.
    pub(crate) async fn checkpoint_audit(
        &mut self,
        request: &CheckpointRequest,
    ) -> Result<String, CallError> {
        self.post_for_text(paths::AUDIT_CHECKPOINT.to_owned(), request).await
    }

    /// Streams a backup, the encrypted records of the byte store, to `sink`: `GET /v1/backup`. An error of `sink` ends the
    /// call. After any error, what `sink` has received is no complete backup.
    pub(crate) async fn backup(
        &mut self,
        sink: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<(), CallError> {
        self.stream(paths::BACKUP.to_owned(), sink).await
    }
}

fn manager_path(service: &str, manager: &str) -> String {
    // The first parameter of the path, then the second one.
    paths::fill(&paths::fill(paths::MEMBER_MANAGER, service), manager)
}
