//! etcd behind TLS, with certificates and users.

use std::fs;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, Permission, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::Alone;
use super::server::{Cluster, loopbacks};
use crate::kv::conformance::{find, put, skipped, write};
use crate::kv::etcd::{Address, Etcd};
use crate::kv::{CommitError, Kv, KvReadError, Outage};

fn key_pair() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takes_certificates_and_passwords_and_is_told_when_they_are_wrong() {
    if skipped::<Alone>() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ca_key, mut ca) = (key_pair(), CertificateParams::default());
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(path("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    for (name, names) in [("server", loopbacks()), ("client", vec!["client".to_owned()])] {
        let (key, params) = (key_pair(), CertificateParams::new(names).unwrap());
        let certificate = params.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).unwrap();
        fs::write(path(&format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    fs::write(path("password"), "correct horse\n").unwrap();
    fs::write(path("wrong"), "battery staple").unwrap();
    let (ca, cert, key) = (path("ca.pem"), path("server.pem"), path("server.key"));
    let tls = ["--client-cert-auth", "--trusted-ca-file", &ca, "--cert-file", &cert, "--key-file", &key];
    let cluster = Cluster::start(1, &[&super::QUICK[..], &tls].concat());

    let root = {
        let read = |name: &str| fs::read(path(name)).unwrap();
        let identity = Identity::from_pem(read("client.pem"), read("client.key"));
        let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read("ca.pem"))).identity(identity);
        let url = format!("https://{}", cluster.addresses());
        Client::connect([url], Some(ConnectOptions::new().with_tls(tls))).await.unwrap()
    };
    let open = |parameters: &str| {
        let text = format!("{}/own?{parameters}", cluster.addresses());
        Etcd::open(&text.parse::<Address>().unwrap().in_folder(folder.path())).unwrap()
    };
    let certified = "ca=ca.pem&cert=client.pem&key=client.key";
    // Also waits until it is there.
    write(&open(certified), vec![put("a", "1")]).await;
    let mut auth = root.auth_client();
    for user in ["root", "own", "other"] {
        auth.user_add(user, "correct horse", None).await.unwrap();
        auth.role_add(user).await.unwrap();
        auth.user_grant_role(user, user).await.unwrap();
        let held = Permission::read_write(format!("{user}\0")).with_prefix();
        auth.role_grant_permission(user, held).await.unwrap();
    }
    auth.auth_enable().await.unwrap();

    let store = open(&format!("{certified}&user=own&password-file=password"));
    assert_eq!(find(&store, "a").await.unwrap().value, b"1");
    write(&store, vec![put("a", "2")]).await;
    store.close().await;
    for user in ["user=own&password-file=wrong", "user=other&password-file=password"] {
        let store = open(&format!("{certified}&{user}"));
        let denied = Outage::Denied;
        assert_eq!(store.get(&[b"a".to_vec()]).await, Err(KvReadError::Unavailable(denied)), "{user}");
        let error = store.commit(vec![], vec![put("a", "3")]).await.unwrap_err();
        assert_eq!(error, CommitError::Unavailable(denied), "{user}");
        assert!(!error.outcome_unknown());
    }
    let stranger = open("ca=ca.pem&user=own&password-file=password");
    assert_eq!(stranger.get(&[]).await, Err(KvReadError::Unavailable(Outage::Unreachable)));
}
