//! The data: eight platforms, and the claims of their tokens as the platforms document them. A claim stands here only if the
//! platform sets it itself: AWS's `request_tags`, for example, are the caller's own words.

use super::ValueForm::{Arn, AzureResource, Digits, Flag, SpiffeId, Text, Uuid};
use super::{IdentityTemplate, TemplateAudience, TemplateFlag, TemplateIssuer, ValueForm};
use crate::domain::jwt::JwtAlgorithm::{EdDsa, Es256, Es384, Rs256};

pub(super) const TEMPLATES: &[IdentityTemplate] =
    &[KUBERNETES, GITHUB, GITLAB, GCP, AZURE, AWS, SPIFFE, OIDC];

/// A claim that is equal to a value.
const fn exact(
    name: &'static str,
    pointer: &'static str,
    form: ValueForm,
    help: &'static str,
) -> TemplateFlag {
    TemplateFlag { name, help, pointer, prefix: false, form }
}

/// A claim that begins with a value.
const fn prefix(
    name: &'static str,
    pointer: &'static str,
    form: ValueForm,
    help: &'static str,
) -> TemplateFlag {
    TemplateFlag { name, help, pointer, prefix: true, form }
}

/// kubernetes.io, "Managing Service Accounts", section "Schema for service account private claims"; pkg/serviceaccount/claims.go.
/// The issuer is one cluster, so that the namespace and the account within it are the tenant. Neither is a secret, and accounts
/// of other namespaces have the same names.
const KUBERNETES: IdentityTemplate = IdentityTemplate {
    name: "kubernetes",
    about: "a projected service account token of a Kubernetes cluster",
    issuer: TemplateIssuer::Given {
        example: "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF (kubectl get --raw \
                  /.well-known/openid-configuration)",
    },
    // The API server signs with its RSA or ECDSA key (--service-account-signing-key-file).
    algorithms: &[Rs256, Es256, Es384],
    audience: TemplateAudience::Any,
    flags: &[
        exact("namespace", "/kubernetes.io/namespace", Text, "namespace of the pod"),
        exact("service-account", "/kubernetes.io/serviceaccount/name", Text, "name of its service account"),
        exact(
            "service-account-uid",
            "/kubernetes.io/serviceaccount/uid",
            Uuid,
            "UID of the service account, which changes if it is deleted and created again",
        ),
        exact("pod", "/kubernetes.io/pod/name", Text, "name of the pod (stable only in a StatefulSet)"),
        exact("node", "/kubernetes.io/node/name", Text, "node of the pod (since Kubernetes 1.30)"),
    ],
    tenant: &[&["namespace", "service-account"]],
    tenant_by_claim: false,
};

/// docs.github.com, "OpenID Connect reference", section "OIDC token claims". Ids and not names, because a name that is given up
/// can be registered by somebody else.
const GITHUB: IdentityTemplate = IdentityTemplate {
    name: "github",
    about: "an OIDC token of a GitHub Actions job",
    // GitHub Enterprise Server: https://HOST/_services/token.
    issuer: TemplateIssuer::Default("https://token.actions.githubusercontent.com"),
    algorithms: &[Rs256],
    audience: TemplateAudience::Any,
    flags: &[
        exact(
            "repository-id",
            "/repository_id",
            Digits,
            "id of the repository (gh api repos/OWNER/NAME --jq .id)",
        ),
        exact(
            "owner-id",
            "/repository_owner_id",
            Digits,
            "id of the organization or user that owns it (gh api users/OWNER --jq .id)",
        ),
        exact("repository", "/repository", Text, "OWNER/NAME of the repository"),
        exact("ref", "/ref", Text, "branch or tag, such as refs/heads/main"),
        prefix("ref-prefix", "/ref", Text, "beginning of the branch or tag, such as refs/heads/release/"),
        exact("ref-protected", "/ref_protected", Flag, "whether the branch or tag is protected"),
        exact("environment", "/environment", Text, "deployment environment of the job"),
        exact("event", "/event_name", Text, "what started the workflow, such as push"),
        exact(
            "workflow-ref",
            "/job_workflow_ref",
            Text,
            "file and ref of the workflow, such as acme/ci/.github/workflows/deploy.yml@refs/heads/main",
        ),
        prefix(
            "workflow-prefix",
            "/job_workflow_ref",
            Text,
            "beginning of the same, such as acme/ci/.github/workflows/deploy.yml@",
        ),
        exact("runner", "/runner_environment", Text, "github-hosted or self-hosted"),
        exact("sub", "/sub", Text, "subject, such as repo:acme/app:environment:production"),
        prefix("sub-prefix", "/sub", Text, "beginning of the subject, such as repo:acme/app:ref:refs/heads/"),
    ],
    tenant: &[&["repository-id"], &["owner-id"]],
    tenant_by_claim: false,
};

/// docs.gitlab.com, "OpenID Connect (OIDC) Authentication Using ID Tokens", section "Token payload". In a pipeline for a merge
/// request from a fork, the claims of the project are those of the fork, so that its author's changes get no secret.
const GITLAB: IdentityTemplate = IdentityTemplate {
    name: "gitlab",
    about: "an ID token of a GitLab CI/CD job",
    issuer: TemplateIssuer::Default("https://gitlab.com"),
    algorithms: &[Rs256],
    audience: TemplateAudience::Any,
    flags: &[
        exact("project-id", "/project_id", Digits, "id of the project (its page, under the three dots)"),
        exact("namespace-id", "/namespace_id", Digits, "id of the group or user that owns it"),
        exact("project", "/project_path", Text, "GROUP/NAME of the project"),
        exact("ref", "/ref", Text, "branch or tag, such as main"),
        exact("ref-type", "/ref_type", Text, "branch or tag"),
        exact("ref-protected", "/ref_protected", Flag, "whether the branch or tag is protected"),
        exact("environment", "/environment", Text, "environment of the job"),
        exact(
            "environment-protected",
            "/environment_protected",
            Flag,
            "whether the environment is protected",
        ),
        exact("source", "/pipeline_source", Text, "what started the pipeline, such as push"),
        exact("runner", "/runner_environment", Text, "gitlab-hosted or self-hosted"),
        exact("sub", "/sub", Text, "subject, such as project_path:acme/app:ref_type:branch:ref:main"),
        prefix("sub-prefix", "/sub", Text, "beginning of the subject, such as project_path:acme/app:"),
    ],
    tenant: &[&["project-id"], &["namespace-id"]],
    tenant_by_claim: false,
};

/// cloud.google.com, "Verify VM identity", section "Token contents" (with format=full). Numbers and not names, because a project
/// can be named like one that was deleted elsewhere. Google issues tokens for everybody's machines under this one issuer.
const GCP: IdentityTemplate = IdentityTemplate {
    name: "gcp",
    about: "an identity token of Google's metadata server (format=full)",
    issuer: TemplateIssuer::Default("https://accounts.google.com"),
    algorithms: &[Rs256],
    audience: TemplateAudience::Any,
    flags: &[
        exact(
            "project-number",
            "/google/compute_engine/project_number",
            Digits,
            "number of the project (gcloud projects describe NAME --format='value(projectNumber)')",
        ),
        exact(
            "service-account-id",
            "/sub",
            Digits,
            "number of the service account (gcloud iam service-accounts describe EMAIL --format='value(uniqueId)')",
        ),
        exact("service-account", "/email", Text, "e-mail address of the service account"),
        exact("project", "/google/compute_engine/project_id", Text, "id of the project"),
        exact("zone", "/google/compute_engine/zone", Text, "zone of the machine, such as europe-west3-a"),
        exact("instance-id", "/google/compute_engine/instance_id", Digits, "number of the machine"),
        exact("instance", "/google/compute_engine/instance_name", Text, "name of the machine"),
    ],
    tenant: &[&["project-number"], &["service-account-id"]],
    tenant_by_claim: false,
};

/// learn.microsoft.com, "Access token claims reference" (tid, oid, appid, azp) and "Managed identities for Azure resources"
/// (xms_mirid). A token for an application with accessTokenAcceptedVersion 2 is of login.microsoftonline.com, any other of
/// sts.windows.net.
const AZURE: IdentityTemplate = IdentityTemplate {
    name: "azure",
    about: "an access token of an Azure managed identity",
    issuer: TemplateIssuer::Given {
        example: "https://login.microsoftonline.com/TENANT-ID/v2.0 or https://sts.windows.net/TENANT-ID/",
    },
    algorithms: &[Rs256],
    // The metadata service issues tokens for registered applications only.
    audience: TemplateAudience::Registered { example: "api://00000000-0000-0000-0000-000000000000" },
    flags: &[
        exact("tenant-id", "/tid", Uuid, "id of the Entra tenant"),
        exact("object-id", "/oid", Uuid, "object (principal) id of the managed identity"),
        exact(
            "resource",
            "/xms_mirid",
            AzureResource,
            "the machine or user-assigned identity, as its tokens write it: \
             /subscriptions/ID/resourcegroups/NAME/providers/…",
        ),
        prefix(
            "resource-prefix",
            "/xms_mirid",
            AzureResource,
            "beginning of the same, such as /subscriptions/ID/resourcegroups/NAME/",
        ),
        exact("app-id", "/appid", Uuid, "client id of the managed identity (tokens of version 1)"),
        exact("client-id", "/azp", Uuid, "client id of the managed identity (tokens of version 2)"),
    ],
    tenant: &[&["tenant-id", "object-id"], &["resource"], &["resource-prefix"]],
    tenant_by_claim: false,
};

/// docs.aws.amazon.com, IAM User Guide, "Understanding token claims" of outbound identity federation; STS API Reference,
/// GetWebIdentityToken (RS256 or ES384). Each account has an issuer of its own, and the claims name the account again.
const AWS: IdentityTemplate = IdentityTemplate {
    name: "aws",
    about: "a token of AWS sts:GetWebIdentityToken",
    issuer: TemplateIssuer::Given {
        example: "https://00000000-0000-0000-0000-000000000000.tokens.sts.global.api.aws (aws iam \
                  get-outbound-web-identity-federation-info)",
    },
    algorithms: &[Es384, Rs256],
    audience: TemplateAudience::Any,
    flags: &[
        exact("account", "/https:~1~1sts.amazonaws.com~1/aws_account", Digits, "number of the AWS account"),
        exact("role", "/sub", Arn, "the role, such as arn:aws:iam::123456789012:role/app"),
        exact("org-id", "/https:~1~1sts.amazonaws.com~1/org_id", Text, "id of the AWS organization"),
        exact("region", "/https:~1~1sts.amazonaws.com~1/source_region", Text, "region of the request"),
        exact(
            "instance",
            "/https:~1~1sts.amazonaws.com~1/ec2_source_instance_arn",
            Arn,
            "the EC2 instance, such as arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0",
        ),
        exact(
            "function",
            "/https:~1~1sts.amazonaws.com~1/lambda_source_function_arn",
            Arn,
            "the Lambda function, such as arn:aws:lambda:eu-central-1:123456789012:function:app",
        ),
    ],
    tenant: &[&["account"], &["role"]],
    tenant_by_claim: false,
};

/// github.com/spiffe/spiffe, standards/JWT-SVID.md. `iss` is optional there, and required here: SPIRE sets it to `jwt_issuer`.
const SPIFFE: IdentityTemplate = IdentityTemplate {
    name: "spiffe",
    about: "a SPIFFE JWT-SVID",
    issuer: TemplateIssuer::Given { example: "https://oidc-discovery.example.org (SPIRE's jwt_issuer)" },
    // SPIRE's `jwt_key_type`: EC P-256 by default, or RSA or EC P-384.
    algorithms: &[Es256, Rs256, Es384],
    audience: TemplateAudience::Any,
    flags: &[
        exact("id", "/sub", SpiffeId, "SPIFFE ID, such as spiffe://example.org/ns/production/sa/app"),
        prefix(
            "id-prefix",
            "/sub",
            SpiffeId,
            "beginning of the SPIFFE ID, such as spiffe://example.org/ns/production/",
        ),
    ],
    tenant: &[&["id"], &["id-prefix"]],
    tenant_by_claim: false,
};

/// OpenID Connect Core 1.0 section 2. Which claim is the tenant's own depends on the issuer.
const OIDC: IdentityTemplate = IdentityTemplate {
    name: "oidc",
    about: "a token of any other OpenID Connect issuer",
    issuer: TemplateIssuer::Given { example: "https://issuer.example.org" },
    algorithms: &[Rs256, Es256, EdDsa],
    audience: TemplateAudience::Any,
    flags: &[
        exact("sub", "/sub", Text, "subject"),
        prefix("sub-prefix", "/sub", Text, "beginning of the subject, up to a separator"),
    ],
    tenant: &[&["sub"], &["sub-prefix"]],
    tenant_by_claim: true,
};
