//! Memory for the bodies that are being read, shared fairly. A budget has tenants (an organization, or the source of
//! requests without a credential), and each tenant has clients (a ticket or a member). While memory is free, no tenant
//! is limited to a share. When none is free, a new body evicts the newest body of the largest client of the largest
//! tenant, if that tenant holds more than the new body's tenant would hold with it. So the tenant that holds the least
//! always gets memory, and a sender of slow bodies cannot keep the others out.
//!
//! This is max-min fairness with preemption, like the queues of `admission`. A fixed share for each tenant was
//! rejected: it would refuse the only tenant of a small store while most of the memory is free.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::domain::id::{MemberId, OrgId, TicketId};
use crate::domain::source::SourceNetwork;

/// The minimum size that a body is counted as, because even a small body occupies a connection or a stream.
const LEAST: usize = 16 * 1024;

/// Who sends a body, and which budget it is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum BodyOwner {
    /// A machine with a boot ticket.
    Boot(OrgId, TicketId),
    /// A member of an organization. A member can have any number of tokens, which share this.
    Member(OrgId, MemberId),
    /// The store's operator.
    Operator,
    /// A request without a credential.
    Stranger(SourceNetwork),
}

/// What competes for a budget. Clients compete within their tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Tenant {
    Org(OrgId),
    Operator,
    Source(SourceNetwork),
}

impl BodyOwner {
    fn tenant(self) -> Tenant {
        match self {
            Self::Boot(org, _) | Self::Member(org, _) => Tenant::Org(org),
            Self::Operator => Tenant::Operator,
            Self::Stranger(source) => Tenant::Source(source),
        }
    }
}

/// The limits of a budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BudgetLimits {
    /// Bytes of all bodies.
    pub(crate) total: usize,
    /// Maximum number of bodies of one client at a time.
    pub(crate) of_client: usize,
    /// Maximum number of slow bodies of one client at a time.
    pub(crate) slow_of_client: usize,
    /// Maximum number of slow bodies of one tenant at a time.
    pub(crate) slow_of_tenant: usize,
}

/// A budget. Clones share it.
#[derive(Clone)]
pub(crate) struct BodyBudget(Arc<BudgetInner>);

struct BudgetInner {
    limits: BudgetLimits,
    state: Mutex<BudgetState>,
}

#[derive(Default)]
struct BudgetState {
    used: usize,
    tenants: BTreeMap<Tenant, TenantUse>,
    next_id: u64,
}

/// What a tenant holds. A tenant without a body is removed from the table.
#[derive(Default)]
struct TenantUse {
    bytes: usize,
    slow: usize,
    clients: BTreeMap<BodyOwner, ClientUse>,
}

#[derive(Default)]
struct ClientUse {
    bytes: usize,
    slow: usize,
    /// By id, so that the newest is the last.
    bodies: BTreeMap<u64, BodyUse>,
}

struct BodyUse {
    bytes: usize,
    slow: bool,
    /// Dropping it wakes the reader, which gives up.
    _evict: oneshot::Sender<()>,
}

/// Permission to read one body. Dropping it frees the memory.
pub(crate) struct BodyPermit {
    budget: BodyBudget,
    owner: BodyOwner,
    id: u64,
    evicted: oneshot::Receiver<()>,
}

impl BodyBudget {
    pub(crate) fn new(limits: BudgetLimits) -> Self {
        Self(Arc::new(BudgetInner { limits, state: Mutex::default() }))
    }

    /// Reserves memory for a body of `bytes`. Returns `None` if the client has too many bodies, or if no memory is free
    /// and there is no larger body, client or tenant to take it from.
    pub(crate) fn reserve(&self, owner: BodyOwner, bytes: usize) -> Option<BodyPermit> {
        let bytes = bytes.max(LEAST);
        let mut state = self.lock();
        if state.bodies_of(owner) >= self.0.limits.of_client {
            return None;
        }
        while state.used + bytes > self.0.limits.total {
            if !state.evict_for(owner, bytes) {
                return None;
            }
        }
        state.next_id += 1;
        let id = state.next_id;
        let (evict, evicted) = oneshot::channel();
        state.insert(owner, id, BodyUse { bytes, slow: false, _evict: evict });
        Some(BodyPermit { budget: self.clone(), owner, id, evicted })
    }

    fn lock(&self) -> MutexGuard<'_, BudgetState> {
        // No update can panic halfway, so the sums are right even after a panic elsewhere.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn used(&self) -> usize {
        self.lock().used
    }
}

impl BudgetState {
    fn bodies_of(&self, owner: BodyOwner) -> usize {
        let client = self.tenants.get(&owner.tenant()).and_then(|tenant| tenant.clients.get(&owner));
        client.map_or(0, |client| client.bodies.len())
    }

    fn insert(&mut self, owner: BodyOwner, id: u64, body: BodyUse) {
        self.used += body.bytes;
        let tenant = self.tenants.entry(owner.tenant()).or_default();
        tenant.bytes += body.bytes;
        let client = tenant.clients.entry(owner).or_default();
        client.bytes += body.bytes;
        client.bodies.insert(id, body);
    }

    /// Removes a body, unless it was evicted.
    fn remove(&mut self, owner: BodyOwner, id: u64) {
        let Some(tenant) = self.tenants.get_mut(&owner.tenant()) else { return };
        let Some(client) = tenant.clients.get_mut(&owner) else { return };
        let Some(body) = client.bodies.remove(&id) else { return };
        self.used -= body.bytes;
        tenant.bytes -= body.bytes;
        client.bytes -= body.bytes;
        tenant.slow -= usize::from(body.slow);
        client.slow -= usize::from(body.slow);
        if client.bodies.is_empty() {
            tenant.clients.remove(&owner);
        }
        if tenant.clients.is_empty() {
            self.tenants.remove(&owner.tenant());
        }
    }

    /// Evicts one body to make room for `bytes` of `owner`, if there is a larger tenant, client or body. Returns
    /// whether it evicted one.
    fn evict_for(&mut self, owner: BodyOwner, bytes: usize) -> bool {
        let of = |tenant: &Tenant| self.tenants.get(tenant).map_or(0, |found| found.bytes);
        let own = of(&owner.tenant()) + bytes;
        let largest = self.tenants.iter().max_by_key(|(_, found)| found.bytes);
        let Some((tenant, found)) = largest else { return false };
        let same = *tenant == owner.tenant();
        // The newcomer's own tenant may be the largest; then its clients compete with each other.
        if !same && found.bytes <= own {
            return false;
        }
        let Some((client, largest)) = found.clients.iter().max_by_key(|(_, client)| client.bytes) else {
            return false;
        };
        // Within one client, only a larger body is evicted. Machines can share a ticket, and one that sends large
        // bodies must not keep out the small bodies of the others.
        let least = match same {
            true if *client == owner => bytes,
            true if largest.bytes <= found.clients.get(&owner).map_or(0, |client| client.bytes) + bytes => {
                return false;
            }
            _ => 0,
        };
        // The newest, because older bodies are closer to their end.
        let newest = largest.bodies.iter().rev().find(|(_, body)| body.bytes > least);
        let Some(id) = newest.map(|(id, _)| *id) else { return false };
        let client = *client;
        self.remove(client, id);
        true
    }
}

impl BodyPermit {
    /// Completes when another client's body takes the place of this one.
    pub(crate) async fn evicted(&mut self) {
        // This is an error, because the sender was dropped with the entry of this body.
        let _ = (&mut self.evicted).await;
    }

    /// Marks the body as slow. Returns false if its client or tenant has too many slow bodies.
    pub(crate) fn become_slow(&self) -> bool {
        let limits = self.budget.0.limits;
        let mut state = self.budget.lock();
        let Some(tenant) = state.tenants.get_mut(&self.owner.tenant()) else { return false };
        let Some(client) = tenant.clients.get_mut(&self.owner) else { return false };
        if tenant.slow >= limits.slow_of_tenant || client.slow >= limits.slow_of_client {
            return false;
        }
        let Some(body) = client.bodies.get_mut(&self.id) else { return false };
        body.slow = true;
        client.slow += 1;
        tenant.slow += 1;
        true
    }
}

impl Drop for BodyPermit {
    fn drop(&mut self) {
        self.budget.lock().remove(self.owner, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    fn budget(total: usize) -> BodyBudget {
        BodyBudget::new(BudgetLimits { total, of_client: 100, slow_of_client: 2, slow_of_tenant: 3 })
    }

    fn ticket(org: u8, number: u8) -> BodyOwner {
        BodyOwner::Boot(OrgId::from_bytes([org; 16]), TicketId::from_bytes([number; 16]))
    }

    async fn is_evicted(permit: &mut BodyPermit) -> bool {
        tokio::time::timeout(std::time::Duration::ZERO, permit.evicted()).await.is_ok()
    }

    #[tokio::test]
    async fn a_newcomer_takes_the_newest_place_of_the_largest() {
        let budget = budget(1024 * KIB);
        let mut large: Vec<_> = (0..8).map(|_| budget.reserve(ticket(1, 1), 128 * KIB).unwrap()).collect();
        assert!(budget.reserve(ticket(1, 1), 128 * KIB).is_none(), "nobody takes a place from itself");
        let small = budget.reserve(ticket(2, 2), 1).unwrap();
        assert!(is_evicted(&mut large[7]).await && !is_evicted(&mut large[6]).await);
        // It evicts bodies until both clients hold the same.
        let mut more = Vec::new();
        while let Some(permit) = budget.reserve(ticket(2, 2), 128 * KIB) {
            more.push(permit);
        }
        assert_eq!(more.len(), 3);
        drop((large, small, more));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn the_clients_of_a_tenant_share_what_it_holds() {
        let budget = budget(1024 * KIB);
        let mut large: Vec<_> = (0..8).map(|_| budget.reserve(ticket(1, 1), 128 * KIB).unwrap()).collect();
        let other = budget.reserve(ticket(1, 2), 128 * KIB).unwrap();
        assert!(is_evicted(&mut large[7]).await);
        // A tenant with many credentials takes no more than one with a single credential.
        let many: Vec<_> = (10..200).map(|number| budget.reserve(ticket(1, number), LEAST)).collect();
        assert!(budget.reserve(ticket(2, 1), 128 * KIB).is_some());
        drop((large, other, many));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_small_body_takes_the_place_of_a_large_one_of_the_same_client() {
        let budget = budget(1024 * KIB);
        let mut large: Vec<_> = (0..8).map(|_| budget.reserve(ticket(1, 1), 128 * KIB).unwrap()).collect();
        let small: Vec<_> = (0..8).map(|_| budget.reserve(ticket(1, 1), 1).unwrap()).collect();
        assert!(is_evicted(&mut large[7]).await && !is_evicted(&mut large[6]).await);
        drop((large, small));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn few_bodies_of_a_client_may_take_long() {
        let budget = budget(1024 * KIB);
        let bodies: Vec<_> =
            [1, 1, 1, 2, 2].iter().map(|n| budget.reserve(ticket(1, *n), 1).unwrap()).collect();
        let slow: Vec<_> = bodies.iter().map(BodyPermit::become_slow).collect();
        assert_eq!(slow, [true, true, false, true, false]);
        drop(bodies);
        let next = budget.reserve(ticket(1, 1), 1).unwrap();
        assert!(next.become_slow());
    }
}
