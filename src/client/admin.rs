//! Members, tokens, tickets, organizations, keys, the audit trail and the backup.

use std::io;

use http::Method;

use super::api_client::Client;
use super::error::CallError;
use super::list::{AuditListFilter, Pages};
use crate::wire::{
    AddKeyslotRequest, AuditEntryView, AuditVerificationView, CreateMemberRequest, CreateOrgRequest,
    CreateOrgResponse, CreateTicketRequest, CreateTicketResponse, CreateTokenRequest, CreateTokenResponse,
    KeyslotView, LockResponse, MemberView, OrgView, StatusView, TicketView, TokenView, UnlockRequest,
    UnlockResponse, UpdateMemberRequest, UpdateOrgRequest, paths,
};

/// Members, their tokens, and tickets.
impl Client {
    /// Members: `GET /v1/members`.
    pub(crate) fn members() -> Pages<MemberView> {
        Pages::of(paths::MEMBERS, &[])
    }

    /// One member: `GET /v1/members/{name}`.
    pub(crate) async fn member(&mut self, name: &str) -> Result<MemberView, CallError> {
        self.get(paths::fill(paths::MEMBER, name)).await
    }

    /// A new member: `POST /v1/members`.
    pub(crate) async fn create_member(
        &mut self,
        member: &CreateMemberRequest,
    ) -> Result<MemberView, CallError> {
        self.create(paths::MEMBERS.to_owned(), member).await
    }

    /// Another role: `PATCH /v1/members/{name}`.
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

    /// Tokens that the caller may see: `GET /v1/tokens`.
    pub(crate) fn tokens() -> Pages<TokenView> {
        Pages::of(paths::TOKENS, &[])
    }

    /// A new token: `POST /v1/tokens`. The answer is the only time it is shown.
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

    /// Tickets that the caller may see: `GET /v1/tickets`.
    pub(crate) fn tickets() -> Pages<TicketView> {
        Pages::of(paths::TICKETS, &[])
    }

    /// A new ticket: `POST /v1/tickets`. The answer is the only time it is shown.
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
    /// Organizations, for the operator: `GET /v1/orgs`.
    pub(crate) fn orgs() -> Pages<OrgView> {
        Pages::of(paths::ORGS, &[])
    }

    /// A new organization, by the operator: `POST /v1/orgs`.
    pub(crate) async fn create_org(
        &mut self,
        org: &CreateOrgRequest,
    ) -> Result<CreateOrgResponse, CallError> {
        self.create(paths::ORGS.to_owned(), org).await
    }

    /// Another policy: `PATCH /v1/org`.
    pub(crate) async fn change_org(&mut self, change: &UpdateOrgRequest) -> Result<OrgView, CallError> {
        self.write(Method::PATCH, paths::ORG_SELF.to_owned(), change, None).await
    }
}

/// The store itself.
impl Client {
    /// Its state, and who the caller is: `GET /v1/status`.
    pub(crate) async fn status(&mut self) -> Result<StatusView, CallError> {
        self.get(paths::STATUS.to_owned()).await
    }

    /// Loads the release key: `POST /v1/unlock`.
    pub(crate) async fn unlock(&mut self, secret: &UnlockRequest) -> Result<UnlockResponse, CallError> {
        self.post(paths::UNLOCK.to_owned(), secret).await
    }

    /// Drops the release key: `POST /v1/lock`.
    pub(crate) async fn lock(&mut self) -> Result<LockResponse, CallError> {
        self.post_nothing(paths::LOCK.to_owned()).await
    }

    /// Key slots: `GET /v1/keyslots`.
    pub(crate) fn keyslots() -> Pages<KeyslotView> {
        Pages::of(paths::KEYSLOTS, &[])
    }

    /// A new key slot: `POST /v1/keyslots`.
    pub(crate) async fn add_keyslot(&mut self, slot: &AddKeyslotRequest) -> Result<KeyslotView, CallError> {
        self.create(paths::KEYSLOTS.to_owned(), slot).await
    }

    /// Removes a key slot: `DELETE /v1/keyslots/{id}`.
    pub(crate) async fn remove_keyslot(&mut self, id: &str) -> Result<(), CallError> {
        self.remove(paths::fill(paths::KEYSLOT, id)).await
    }

    /// The audit trail, newest first: `GET /v1/audit`.
    pub(crate) fn audit(filter: &AuditListFilter) -> Pages<AuditEntryView> {
        Pages::of(paths::AUDIT, &filter.pairs())
    }

    /// Whether the audit trail is whole: `GET /v1/audit/verify`. It reads all of it, so this may take minutes.
    pub(crate) async fn verify_audit(&mut self) -> Result<AuditVerificationView, CallError> {
        self.get_slowly(paths::AUDIT_VERIFY.to_owned()).await
    }

    /// The byte store's records, encrypted as they are: `GET /v1/backup`. `sink` is given the pieces in order; its error
    /// ends the call. An error after the first piece leaves a part behind, which is no backup.
    pub(crate) async fn backup(
        &mut self,
        sink: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<(), CallError> {
        self.stream(paths::BACKUP.to_owned(), sink).await
    }
}
