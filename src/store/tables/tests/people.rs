//! Samples of the records of organizations, members and their credentials.

use super::*;

pub(crate) fn people(comparison: &mut Comparison) {
    let policy_1 = || StoredOrgPolicyV1 { shared_by_members: true, hints: false, variable_ceiling: 65536 };
    let policy_2 = |shared_changes, member_share, retention| StoredOrgPolicyV2 {
        shared_by_members: true,
        hints: false,
        variable_ceiling: 65536,
        shared_changes: text(shared_changes),
        budgets: StoredByteBudgetsV1 {
            shared_variables: 1 << 20,
            shared_files: 16 << 20,
            private_variables: 768 << 10,
            private_files: 16 << 20,
        },
        quotas: StoredRecordQuotasV1 {
            secrets: 1_000_000,
            members: 100_000,
            tickets: 1_000_000,
            tokens: 1_000_000,
            boots_per_member: 100_000,
            min_audit_days: 30,
        },
        member_share,
        retention,
    };
    let policies = [
        policy_2("depositor", 10, StoredRetentionDaysV1 { boots: None, audit: None }),
        policy_2("everyone", 25, StoredRetentionDaysV1 { boots: Some(90), audit: Some(400) }),
    ];
    let encoded_policies = encoded(2, &policies);
    comparison.format::<OrgPolicy, _>("OrgPolicy", 1, &[policy_1()], &encoded_policies[..1]);
    comparison.format::<OrgPolicy, _>("OrgPolicy", 2, &policies, &[]);
    let (id, name, created_at) = ([1; 16], text("default"), 1_800_000_000_000);
    let org_2 = |policy: &[u8]| StoredOrgV2 {
        id,
        name: name.clone(),
        created_at,
        policy: ByteBuf::from(policy),
        admins: 1,
    };
    let orgs: Vec<_> = encoded_policies.iter().map(|policy| org_2(policy)).collect();
    let upgraded = encoded(2, &orgs);
    let org_1 = StoredOrgV1 { id, name: name.clone(), created_at, policy: policy_1(), admins: 1 };
    comparison.format::<OrgRecord, _>("OrgRecord", 1, &[org_1], &upgraded[..1]);
    comparison.format::<OrgRecord, _>("OrgRecord", 2, &orgs, &[]);
    comparison.only::<OrgId, _>("OrgId", &[[1_u8; 16]]);
    members(comparison);
    comparison.only::<MemberId, _>("MemberId", &[[1_u8; 16]]);
    comparison.only::<Option<MemberId>, _>("Option<MemberId>", &[None, Some([1_u8; 16])]);
    comparison
        .only::<RemovalRecord, _>("RemovalRecord", &[StoredRemovalV1 { org: [1; 16], member: [2; 16] }]);
    let withdrawal = StoredWithdrawalV1 { org: [1; 16], launcher: [2; 16], person: [3; 16] };
    comparison.only::<WithdrawalRecord, _>("WithdrawalRecord", &[withdrawal]);
    comparison.only::<SessionRecord, _>(
        "SessionRecord",
        &[StoredSessionV1 {
            hash: [1; 32],
            token: [2; 16],
            member: Some(([3; 16], [4; 16])),
            created_at: 1_800_000_000_000,
            seen_at: 1_800_000_000_001,
        }],
    );
    comparison.only::<SessionMark, _>("SessionMark", &[StoredSessionMarkV1 { created_at: -1 }]);
    tickets(comparison);
}

fn tickets(comparison: &mut Comparison) {
    let older = StoredTicketV1 {
        id: [1; 16],
        hash: [2; 32],
        org: [3; 16],
        member: [4; 16],
        author: [5; 16],
        label: some("ci"),
        created_at: 1_800_000_000_000,
        expires_at: Some(1_800_000_000_001),
        revoked_at: Some(1_800_000_000_002),
        uses: Some(300),
        used: 2,
        plugins: Some(vec![text("stripe")]),
        sources: vec![text("10.0.0.0/8"), text("2001:db8::/32")],
    };
    let second = |lifetime, counted, inactive_at| StoredTicketV2 {
        id: [1; 16],
        hash: [2; 32],
        org: [3; 16],
        member: [4; 16],
        author: [5; 16],
        label: some("ci"),
        created_at: 1_800_000_000_000,
        expires_at: Some(1_800_000_000_001),
        revoked_at: Some(1_800_000_000_002),
        uses: Some(300),
        used: 2,
        plugins: Some(vec![text("stripe")]),
        sources: vec![text("10.0.0.0/8"), text("2001:db8::/32")],
        lifetime,
        counted,
        inactive_at,
    };
    let third = |lifetime, counted, inactive_at, proof_key| StoredTicketV3 {
        id: [1; 16],
        hash: [2; 32],
        org: [3; 16],
        member: [4; 16],
        author: [5; 16],
        label: some("ci"),
        created_at: 1_800_000_000_000,
        expires_at: Some(1_800_000_000_001),
        revoked_at: Some(1_800_000_000_002),
        uses: Some(300),
        used: 2,
        plugins: Some(vec![text("stripe")]),
        sources: vec![text("10.0.0.0/8"), text("2001:db8::/32")],
        lifetime,
        counted,
        inactive_at,
        proof_key,
    };
    let upgraded = [third(None, false, None, None)];
    comparison.format::<TicketRecord, _>("TicketRecord", 1, &[older], &encoded(3, &upgraded));
    let at = Some(1_800_000_000_003);
    let older = [second(None, false, None), second(Some(3600), true, at)];
    let upgraded = [third(None, false, None, None), third(Some(3600), true, at, None)];
    comparison.format::<TicketRecord, _>("TicketRecord", 2, &older, &encoded(3, &upgraded));
    let newest = [third(None, false, None, None), third(Some(3600), true, at, Some([6; 32]))];
    comparison.format::<TicketRecord, _>("TicketRecord", 3, &newest, &[]);
}

fn members(comparison: &mut Comparison) {
    let before = StoredMemberV1 {
        id: [1; 16],
        name: text("alice"),
        role: text("auditor"),
        created_at: 1_800_000_000_000,
        removed_at: Some(1_800_000_000_001),
    };
    let upgraded = || StoredMemberV2 {
        id: [1; 16],
        name: text("alice"),
        role: text("auditor"),
        created_at: 1_800_000_000_000,
        removed_at: Some(1_800_000_000_001),
        kind: text("person"),
        author: None,
        manages: Vec::new(),
        managers: Vec::new(),
        accepts: Vec::new(),
        enrolment: None,
        enrolled_at: None,
        enrolled_from: None,
    };
    comparison.format::<MemberRecord, _>("MemberRecord", 1, &[before], &encoded(2, &[upgraded()]));
    let after = StoredMemberV2 {
        kind: text("launcher"),
        author: Some([2; 16]),
        manages: vec![[3; 16]],
        managers: vec![[6; 16]],
        accepts: vec![([4; 16], 1_800_000_000_002)],
        enrolment: Some([5; 16]),
        enrolled_at: Some(1_800_000_000_003),
        enrolled_from: some("192.0.2.1"),
        ..upgraded()
    };
    comparison.format::<MemberRecord, _>("MemberRecord", 2, &[after], &[]);
    let dismissal =
        StoredDismissalV1 { org: [1; 16], author: [2; 16], member: [3; 16], at: 1_800_000_000_000 };
    comparison.only::<DismissalRecord, _>("DismissalRecord", &[dismissal]);
    comparison.only::<EnrolmentRecord, _>(
        "EnrolmentRecord",
        &[StoredEnrolmentV1 {
            id: [1; 16],
            hash: [2; 32],
            org: [3; 16],
            member: [4; 16],
            author: Some([5; 16]),
            created_at: 1_800_000_000_000,
            expires_at: 1_800_000_000_001,
            redeemed_at: Some(1_800_000_000_002),
            redeemed_from: some("2001:db8::1"),
        }],
    );
    let token = StoredTokenV1 {
        id: [1; 16],
        hash: [2; 32],
        member: Some(([3; 16], [4; 16])),
        label: some("laptop"),
        created_at: 1_800_000_000_000,
        expires_at: Some(1_800_000_000_001),
        revoked_at: Some(1_800_000_000_002),
    };
    let authored = |author, counted, inactive_at| StoredTokenV2 {
        id: [1; 16],
        hash: [2; 32],
        member: Some(([3; 16], [4; 16])),
        author,
        label: some("laptop"),
        created_at: 1_800_000_000_000,
        expires_at: Some(1_800_000_000_001),
        revoked_at: Some(1_800_000_000_002),
        counted,
        inactive_at,
    };
    let newest = |author, counted, inactive_at, metrics| StoredTokenV3 {
        id: [1; 16],
        hash: [2; 32],
        member: if metrics { None } else { Some(([3; 16], [4; 16])) },
        author,
        label: some("laptop"),
        created_at: 1_800_000_000_000,
        expires_at: Some(1_800_000_000_001),
        revoked_at: Some(1_800_000_000_002),
        counted,
        inactive_at,
        metrics,
    };
    let upgraded = encoded(3, &[newest(None, false, None, false)]);
    comparison.format::<TokenRecord, _>("TokenRecord", 1, &[token], &upgraded);
    let older = [authored(Some([5; 16]), true, None), authored(None, false, Some(1_800_000_000_003))];
    let newest = [
        newest(Some([5; 16]), true, None, false),
        newest(None, false, Some(1_800_000_000_003), false),
        newest(None, false, None, true),
    ];
    comparison.format::<TokenRecord, _>("TokenRecord", 2, &older, &encoded(3, &newest[..2]));
    comparison.format::<TokenRecord, _>("TokenRecord", 3, &newest, &[]);
}
