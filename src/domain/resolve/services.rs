//! The names of addresses and of credentials, as data: which exported names say where a program sends its requests, and which
//! names belong to the same service.

/// The names that one service's clients read together, by their first words: a key of one goes to the address of another. Every
/// name belongs also to the service that its own first word names, so that only services with several first words are listed.
const SERVICES: &[&[&str]] = &[
    // langchain-openai, AzureChatOpenAI: OPENAI_API_KEY goes to AZURE_OPENAI_ENDPOINT where AZURE_OPENAI_API_KEY is not set.
    &["OPENAI", "AZURE_OPENAI"],
    // Claude Code, Environment variables: CLAUDE_CODE_OAUTH_TOKEN and ANTHROPIC_AUTH_TOKEN go to ANTHROPIC_BASE_URL.
    &["ANTHROPIC", "CLAUDE"],
    // Google Gen AI SDK: GEMINI_API_KEY or GOOGLE_API_KEY, and GOOGLE_GEMINI_BASE_URL. gcloud, Properties: CLOUDSDK_SECTION_NAME.
    &["GOOGLE", "GEMINI", "VERTEX", "VERTEXAI", "GCP", "GCLOUD", "CLOUDSDK", "ANTHROPIC_VERTEX"],
    // AWS SDKs and Tools Reference Guide: AWS_ENDPOINT_URL. MinIO and other stores take the keys of S3 at addresses of their own.
    &["AWS", "S3", "MINIO", "DYNAMODB", "BEDROCK", "ANTHROPIC_BEDROCK"],
    // huggingface_hub, Environment variables: HF_ENDPOINT and HF_TOKEN, earlier HUGGING_FACE_HUB_TOKEN.
    &["HF", "HUGGINGFACE", "HUGGING_FACE"],
    // LangSmith SDK: LANGCHAIN_ENDPOINT and LANGCHAIN_API_KEY are the older names of LANGSMITH_ENDPOINT and LANGSMITH_API_KEY.
    &["LANGSMITH", "LANGCHAIN"],
    // gh help environment: GH_HOST, and GH_TOKEN or GITHUB_TOKEN.
    &["GITHUB", "GH"],
    // glab, Environment variables: GITLAB_HOST, GITLAB_URI or GL_HOST, and GITLAB_TOKEN or OAUTH_TOKEN; in a job, CI_SERVER_FQDN
    // and CI_JOB_TOKEN.
    &["GITLAB", "GLAB", "GL", "OAUTH_TOKEN", "CI_SERVER", "CI_API", "CI_JOB"],
    // Datadog Agent and the Terraform provider: DD_SITE, DD_URL or DATADOG_HOST, and DD_API_KEY or DATADOG_API_KEY.
    &["DATADOG", "DD"],
    // libpq, Environment Variables: PGHOST and PGPASSWORD; the image postgres: POSTGRES_PASSWORD. DB and DATABASE are any database.
    &["POSTGRES", "POSTGRESQL", "PG", "DB", "DATABASE"],
    // The image mariadb takes MARIADB_PASSWORD and MYSQL_PASSWORD; the client takes MYSQL_HOST and MYSQL_PWD.
    &["MYSQL", "MARIADB", "DB", "DATABASE"],
    // sqlcmd: SQLCMDSERVER and SQLCMDPASSWORD; the image mssql/server: MSSQL_SA_PASSWORD, earlier SA_PASSWORD.
    &["MSSQL", "SQLSERVER", "SQLCMD", "SA", "DB", "DATABASE"],
    // redis-cli: REDISCLI_AUTH. Valkey takes the clients of Redis.
    &["REDIS", "REDISCLI", "VALKEY"],
    // The images mongo and mongo-express: MONGO_INITDB_ROOT_PASSWORD, ME_CONFIG_MONGODB_SERVER.
    &["MONGO", "MONGODB", "ME_CONFIG_MONGODB"],
    // RabbitMQ is AMQP's most used broker: AMQP_URL and RABBITMQ_PASSWORD.
    &["RABBITMQ", "RABBIT", "AMQP"],
    // Kafka clients' own properties as variables: BOOTSTRAP_SERVERS and SASL_PASSWORD.
    &["KAFKA", "CONFLUENT", "BOOTSTRAP", "SASL"],
    // The image elasticsearch: ELASTIC_PASSWORD; Kibana: ELASTICSEARCH_HOSTS. OpenSearch takes the same clients.
    &["ELASTIC", "ELASTICSEARCH", "ES", "OPENSEARCH"],
    // OpenBao takes BAO_ADDR, or else VAULT_ADDR.
    &["VAULT", "BAO"],
    // npm config, and actions/setup-node: NPM_CONFIG_REGISTRY, and NPM_TOKEN or NODE_AUTH_TOKEN.
    &["NPM", "PNPM", "YARN", "NODE_AUTH"],
    // twine: TWINE_REPOSITORY_URL and TWINE_PASSWORD, a token of PyPI.
    &["TWINE", "PYPI"],
    // kubectl: KUBECONFIG names the server.
    &["KUBE", "KUBERNETES", "K8S", "KUBECONFIG"],
    // Django: EMAIL_HOST and EMAIL_HOST_PASSWORD; Laravel: MAIL_HOST and MAIL_PASSWORD; most others SMTP_HOST.
    &["SMTP", "MAIL", "EMAIL"],
];

/// Words that stand for a place after a name's first word. Digits at the end of a word do not count.
///
/// - BASE as in OPENAI_API_BASE, and ENDPOINTS as in ETCDCTL_ENDPOINTS: the word need not be the last.
/// - BOOTSTRAP to CONTACT_POINTS: members of a cluster by which a client finds the others.
/// - SITE to FQDN as in DD_SITE, AUTH0_DOMAIN, ZENDESK_SUBDOMAIN: the client makes the address from it.
/// - ISSUER and AUTHORITY: a client sends its secret to the token endpoint that the issuer names (OpenID Connect Discovery 1.0).
/// - DSN and CONNECTION_STRING: SENTRY_DSN, and the data source names of databases.
///
/// Not here, since what others share under them is no place: WEBHOOK (STRIPE_WEBHOOK_SECRET), INDEX (PINECONE_INDEX), REPOSITORY
/// (GITHUB_REPOSITORY), REGION (AWS_REGION: the client makes a host of its vendor from it), MODEL.
const PLACES: &str = "\
    BASE ENDPOINTS HOSTS HOSTNAMES ADDRS ADDRESS ADDRESSES URLS URIS PROXIES SERVERS \
    BOOTSTRAP BROKER BROKERS NODES PEERS SEEDS SENTINELS CONTACT_POINTS SITE DOMAIN DOMAINS SUBDOMAIN FQDN \
    ISSUER AUTHORITY DSN CONNECTION_STRING REGISTRY REGISTRIES GATEWAY ORIGIN UPSTREAM";

/// Words that stand for a place in the names of [`SERVICES`] only: elsewhere they are settings of the program that is started, such as
/// APP_PORT, or parts of another service's host, such as PUSHER_CLUSTER.
const PLACES_OF_SERVICES: &[&str] = &["PORT", "SOCKET", "CLUSTER", "NODE"];

/// What the end of a word stands for a place by: `BASEURL`, `DBHOST`.
const PLACE_ENDS: &[&str] =
    &["URL", "URI", "ENDPOINT", "HOST", "HOSTNAME", "HOSTADDR", "ADDR", "PROXY", "SERVER"];

/// What the end of a name of one word says that it holds, so that the rest is the service: `DBPASSWORD`. As the last word of a name,
/// all but USER say that it names no place: STRIPE_ENDPOINT_SECRET.
const CREDENTIAL_ENDS: &[&str] = &["PASSWORD", "PASSWD", "PASS", "PWD", "TOKEN", "SECRET", "KEY", "USER"];

/// Names that follow no rule. libpq looks a service up in a file that names the host (libpq, section 34.15); uv, restic.
const PLACE_NAMES: &str = "\
    PGSERVICE PGSERVICEFILE PGSYSCONFDIR AWS_CONFIG_FILE KUBECONFIG UV_INDEX UV_DEFAULT_INDEX RESTIC_REPOSITORY";

/// What carries the requests of most programs, whatever service they are for (curl(1), Environment).
const PROXIES: &str = "HTTP_PROXY HTTPS_PROXY ALL_PROXY SOCKS_PROXY SOCKS5_PROXY SOCKS_SERVER";

/// The services that a name belongs to.
#[derive(Debug)]
pub(super) enum Services {
    All,
    Named {
        /// First words, in capitals.
        words: Vec<String>,
        /// Positions in [`SERVICES`].
        listed: Vec<usize>,
    },
}

impl Services {
    /// The services that a name gives the address of. `None` if it does not name a place.
    pub(super) fn addressed_by(env: &str) -> Option<Self> {
        let name = normalize(env);
        if holds(PROXIES, &name) {
            return Some(Self::All);
        }
        let services = Self::of_normalized(&name);
        let is_listed = matches!(&services, Self::Named { listed, .. } if !listed.is_empty());
        names_place(&name, is_listed).then_some(services)
    }

    /// The services that a credential of this name is for.
    pub(super) fn of(env: &str) -> Self {
        Self::of_normalized(&normalize(env))
    }

    fn of_normalized(name: &str) -> Self {
        let first = name.split('_').next().unwrap_or_default();
        let mut words = vec![first];
        for ends in [CREDENTIAL_ENDS, PLACE_ENDS, PLACES_OF_SERVICES] {
            words.extend(strip_end(first, ends));
        }
        // libpq's names have no separator, and PGPASSFILE or PGSSLKEY no known end. PGP is another program.
        if first.starts_with("PG") && first != "PGP" {
            words.push("PG");
        }
        let begins = |prefix: &&str| match prefix.contains('_') {
            true => name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')),
            false => words.contains(prefix),
        };
        let rows = SERVICES.iter().enumerate();
        let listed = rows.filter(|(_, prefixes)| prefixes.iter().any(begins)).map(|(row, _)| row).collect();
        Self::Named { words: words.into_iter().map(str::to_owned).collect(), listed }
    }

    /// Whether a name of these services and one of `other` are read together.
    pub(super) fn meet(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => true,
            (Self::Named { words, listed }, Self::Named { words: others, listed: other_rows }) => {
                words.iter().any(|word| others.contains(word))
                    || listed.iter().any(|row| other_rows.contains(row))
            }
        }
    }
}

/// Some programs read their settings in any case, so that case must not open a way around the rule.
fn normalize(env: &str) -> String {
    env.trim_start_matches('_').to_ascii_uppercase()
}

fn names_place(name: &str, is_listed: bool) -> bool {
    if holds(PLACE_NAMES, name) {
        return true;
    }
    let Some((first, rest)) = name.split_once('_') else {
        // A name of one word, such as PGHOST: the place is its end.
        let of_service = || is_listed.then(|| strip_end(name, PLACES_OF_SERVICES)).flatten();
        return strip_end(name, PLACE_ENDS).or_else(of_service).is_some();
    };
    let last = rest.rsplit('_').next().unwrap_or(first);
    if last != "USER" && CREDENTIAL_ENDS.contains(&last) {
        return false;
    }
    let of_two = |place: &str| place.contains('_') && rest.contains(place);
    rest.split('_').any(|word| is_place(word, is_listed)) || PLACES.split(' ').any(of_two)
}

fn holds(words: &str, word: &str) -> bool {
    words.split(' ').any(|one| one == word)
}

fn is_place(word: &str, is_listed: bool) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    holds(PLACES, word)
        || is_listed && PLACES_OF_SERVICES.contains(&word)
        || PLACE_ENDS.iter().any(|end| word.ends_with(end))
}

/// What is before one of the ends, if that is a name: GHOST is no host of G.
fn strip_end<'a>(word: &'a str, ends: &[&str]) -> Option<&'a str> {
    // The longest end first: HOSTADDR is not the address of a HOST.
    let longest = ends.iter().filter(|end| word.ends_with(**end)).max_by_key(|end| end.len())?;
    word.strip_suffix(longest).filter(|before| before.len() >= 2)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn meets(address: &str, key: &str) -> bool {
        Services::addressed_by(address).is_some_and(|services| services.meet(&Services::of(key)))
    }

    #[test]
    fn an_address_meets_the_keys_of_its_service() {
        for pairs in [
            "OPENAI_BASE_URL OPENAI_API_BASE OPENAI_PROXY openai_base_url Openai_Api_Base AZURE_OPENAI_ENDPOINT > OPENAI_API_KEY",
            "AZURE_OPENAI_ENDPOINT OPENAI_API_BASE > AZURE_OPENAI_API_KEY AZURE_OPENAI_AD_TOKEN",
            "ANTHROPIC_BASE_URL > ANTHROPIC_AUTH_TOKEN ANTHROPIC_API_KEY CLAUDE_CODE_OAUTH_TOKEN",
            "AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3 AWS_CONFIG_FILE S3_ENDPOINT MINIO_ENDPOINT ANTHROPIC_BEDROCK_BASE_URL > AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN",
            "LANGCHAIN_ENDPOINT LANGSMITH_ENDPOINT > LANGSMITH_API_KEY LANGCHAIN_API_KEY",
            "PGHOST PGHOSTADDR PGPORT PGSERVICE POSTGRES_HOST DATABASE_HOST DB_HOST DB_PORT DATABASE_URL DB_CONNECTION_STRING > PGPASSWORD PGPASSFILE POSTGRES_PASSWORD DB_PASSWORD DBPASSWORD",
            "MYSQL_HOST DB_HOST DBHOST MYSQL_UNIX_SOCKET > MARIADB_PASSWORD MYSQL_ROOT_PASSWORD MYSQL_PWD DB_PASS",
            "DATADOG_HOST DD_SITE DD_URL DD_DD_URL > DD_API_KEY DATADOG_API_KEY DATADOG_APP_KEY",
            "GL_HOST GITLAB_HOST GITLAB_URI > GITLAB_TOKEN GITLAB_ACCESS_TOKEN OAUTH_TOKEN CI_JOB_TOKEN",
            "GH_HOST GITHUB_API_URL > GH_TOKEN GITHUB_TOKEN",
            "VAULT_ADDR BAO_ADDR > VAULT_TOKEN",
            "NPM_CONFIG_REGISTRY npm_config_registry > NPM_TOKEN NODE_AUTH_TOKEN",
            "TWINE_REPOSITORY_URL > TWINE_PASSWORD PYPI_TOKEN",
            "PIP_INDEX_URL > PIP_PASSWORD",
            "UV_INDEX UV_PUBLISH_URL > UV_PUBLISH_TOKEN",
            "SENTRY_DSN SENTRY_URL > SENTRY_AUTH_TOKEN",
            "HF_ENDPOINT > HF_TOKEN HUGGING_FACE_HUB_TOKEN HUGGINGFACE_API_KEY",
            "OLLAMA_HOST > OLLAMA_API_KEY",
            "GOOGLE_GEMINI_BASE_URL > GEMINI_API_KEY GOOGLE_API_KEY",
            "KUBECONFIG KUBE_HOST > KUBERNETES_TOKEN",
            "REDIS_HOST1 REDIS_URL REDIS_PORT REDISHOST > REDIS_PASSWORD REDISCLI_AUTH",
            "MONGO_URL MONGODB_URI MONGO_CLUSTER > MONGO_PASSWORD MONGODB_PASSWORD",
            "RABBITMQ_HOST AMQP_URL RABBITMQ_NODES > RABBITMQ_PASSWORD RABBITMQ_DEFAULT_PASS",
            "KAFKA_BOOTSTRAP_SERVERS KAFKA_BROKERS BOOTSTRAP_SERVERS > KAFKA_SASL_PASSWORD SASL_PASSWORD",
            "ELASTICSEARCH_HOSTS ELASTIC_URL ES_NODES > ELASTIC_PASSWORD",
            "CASSANDRA_CONTACT_POINTS > CASSANDRA_PASSWORD",
            "CARGO_REGISTRIES_OURS_INDEX > CARGO_REGISTRIES_OURS_TOKEN",
            "HTTP_PROXY https_proxy ALL_PROXY > OPENAI_API_KEY ANYTHING",
            "MY_SERVICE_APIURL > MY_TOKEN",
            "SMTP_HOST > MAIL_PASSWORD EMAIL_HOST_PASSWORD",
        ] {
            let (addresses, keys) = pairs.split_once(" > ").unwrap();
            for address in addresses.split(' ') {
                for key in keys.split(' ') {
                    assert!(meets(address, key), "{address} {key}");
                    assert!(meets(&address.to_lowercase(), &key.to_lowercase()), "{address} {key}");
                }
            }
        }
    }

    #[test]
    fn other_names_meet_nothing() {
        for pair in "OPENAI_BASE_URL ANTHROPIC_API_KEY,OPENAI_BASE_URL OPENAIX_API_KEY,OPENAI_MODEL OPENAI_API_KEY,\
            OPENAI_API_KEY OPENAI_ORG,POSTGRES_DATABASE POSTGRES_PASSWORD,AWS_REGION AWS_SECRET_ACCESS_KEY,\
            PGDATABASE PGPASSWORD,PG_HOST GITHUB_TOKEN,PGHOST PGP_PRIVATE_KEY,GHOST_KEY G_TOKEN,HOST HOSTING_TOKEN,\
            MYSQL_HOST PGPASSWORD,PGHOST MYSQL_PASSWORD,AZURE_STORAGE_ENDPOINT OPENAI_API_KEY,APP_PORT APP_SECRET_KEY,\
            STRIPE_WEBHOOK_SECRET STRIPE_API_KEY,STRIPE_ENDPOINT_SECRET STRIPE_API_KEY,PINECONE_INDEX PINECONE_API_KEY,\
            GITHUB_REPOSITORY GITHUB_TOKEN,DB_NAME DB_PASSWORD,NO_PROXY OPENAI_API_KEY,LOG_LEVEL LOG_TOKEN"
            .split(',')
        {
            let (address, key) = pair.split_once(' ').unwrap();
            assert!(!meets(address, key), "{pair}");
        }
        assert!(!meets("_", "_") && !meets("", ""));
    }

    /// Each word of the table does what its place in the table says, for each service of the table.
    #[test]
    fn every_service_and_every_word_of_the_table_counts() {
        let places =
            PLACES.split(' ').chain(PLACES_OF_SERVICES.iter().copied()).chain(PLACE_ENDS.iter().copied());
        for place in places.collect::<BTreeSet<_>>() {
            for service in SERVICES {
                for (address, key) in service.iter().flat_map(|one| service.iter().map(move |two| (one, two)))
                {
                    assert!(
                        meets(&format!("{address}_X_{place}"), &format!("{key}_API_KEY")),
                        "{address} {place} {key}"
                    );
                    assert!(
                        !meets(&format!("{address}_{place}_SECRET"), &format!("{key}_API_KEY")),
                        "{address} {place} {key}"
                    );
                }
            }
            let elsewhere = meets(&format!("ACME_{place}"), "ACME_API_KEY");
            assert_eq!(elsewhere, !PLACES_OF_SERVICES.contains(&place), "{place}");
            assert!(!meets(&format!("ACME_{place}"), "OTHER_API_KEY"), "{place}");
        }
        for name in PLACE_NAMES.split(' ').chain(PROXIES.split(' ')) {
            assert!(Services::addressed_by(name).is_some(), "{name}");
            assert_eq!(name, name.to_uppercase());
        }
        for service in SERVICES {
            assert!(service.len() > 1, "the first word alone is a service without the table: {service:?}");
            assert_eq!(service.iter().collect::<BTreeSet<_>>().len(), service.len(), "{service:?}");
        }
    }
}
