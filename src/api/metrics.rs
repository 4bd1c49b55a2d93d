//! Counters of the API and their Prometheus text. Labels are methods and routes of the route table and fixed words:
//! never a path, a name or an address of a request, so that the number of series is bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::domain::time::Timestamp;
use crate::store::StateCheck;

pub(crate) use self::prometheus_text::CONTENT_TYPE;

/// Upper bounds of the histogram, in seconds. A boot takes about 1 ms, a passphrase 100 ms and more.
const BOUNDS: [f64; 12] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];
/// Values of the label `status`.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: &'static str,
}

/// The counters of one process.
pub(crate) struct Metrics {
    registry: Registry,
    routes: BTreeMap<String, Vec<Method>>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// Boots that were answered with values.
    pub(crate) boots: Counter,
    /// Boots that were refused, for any reason.
    pub(crate) boots_refused: Counter,
    /// Values that were released.
    pub(crate) released: Counter,
    /// Requests that were refused with 503 `overloaded`.
    pub(crate) shed: Counter,
    /// Wrong credentials and passphrases.
    pub(crate) guesses: Counter,
    /// Requests that were refused because of the rate of their credential.
    pub(crate) rate_limited: Counter,
}

/// Values that other parts of the server measure, read at the time of the scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct GaugeValues {
    /// Whether no release key is in memory.
    pub(crate) locked: bool,
    /// Requests in flight.
    pub(crate) in_flight: usize,
    /// Boots in flight.
    pub(crate) active_boots: usize,
    /// Boots that wait for a permit.
    pub(crate) waiting_boots: usize,
    /// Open connections.
    pub(crate) connections: u64,
    /// The byte store's revision, which grows by one with each commit.
    pub(crate) revision: u64,
    /// Operations that wait for their commit.
    pub(crate) queue: usize,
    /// Generation of the release key.
    pub(crate) generation: u32,
    /// Audit entries that this process has written.
    pub(crate) audit_entries: u64,
    /// The last verification of the log and of all rows, by any server.
    pub(crate) state_check: Option<StateCheck>,
    /// Secrets whose values are known not to open.
    pub(crate) unusable: u64,
}

impl Metrics {
    /// Creates counters at zero. Only `routes` become labels.
    pub(crate) fn new(routes: &[(Method, String)]) -> Self {
        let mut methods = BTreeMap::<String, Vec<Method>>::new();
        // One path has several methods, and a request with another one must not become a label.
        for (method, path) in routes {
            methods.entry(path.clone()).or_default().push(method.clone());
        }
        let mut metrics = Self {
            registry: Registry::default(),
            routes: methods,
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BOUNDS)),
            boots: Counter::default(),
            boots_refused: Counter::default(),
            released: Counter::default(),
            shed: Counter::default(),
            guesses: Counter::default(),
            rate_limited: Counter::default(),
        };
        // The library appends `_total` to counters, `_info` to infos, and a full stop to each help text.
        let mut counter =
            |name, help, counter: &Counter| metrics.registry.register(name, help, counter.clone());
        counter("dropsafe_boots", "Boots answered with values", &metrics.boots);
        counter("dropsafe_boots_refused", "Boots refused", &metrics.boots_refused);
        counter("dropsafe_released_entries", "Values released", &metrics.released);
        counter("dropsafe_shed", "Requests refused because of overload", &metrics.shed);
        counter("dropsafe_guesses", "Wrong credentials and passphrases", &metrics.guesses);
        let help = "Requests refused because of their credential's rate";
        counter("dropsafe_rate_limited", help, &metrics.rate_limited);
        let (requests, durations) = (metrics.requests.clone(), metrics.durations.clone());
        metrics.registry.register("dropsafe_http_requests", "Requests answered", requests);
        let help = "Time from a request's headers to its response's headers";
        metrics.registry.register("dropsafe_http_request_duration_seconds", help, durations);
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        metrics.registry.register("dropsafe_build", "The running program", version);
        metrics
    }

    /// Counts one response. `route` is the matched route, if one matched.
    pub(crate) fn count_response(
        &self,
        route: Option<&str>,
        method: &Method,
        status: StatusCode,
        elapsed: Duration,
    ) {
        let known =
            route.filter(|route| self.routes.get(*route).is_some_and(|methods| methods.contains(method)));
        // A method is the client's text (RFC 9110 section 9.1 lets it be any token), so an unknown one is no label.
        let (method, route) = known.map_or(("other", "none"), |route| (method.as_str(), route));
        let (method, route) = (method.to_owned(), route.to_owned());
        // The class only, since each status would be a series for each route.
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        let status = CLASSES.get(class).copied().unwrap_or("5xx");
        let labels = RouteLabels { method: method.clone(), route: route.clone() };
        self.durations.get_or_create(&labels).observe(elapsed.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }

    /// Renders the counters and `gauges` in the text format 0.0.4.
    pub(crate) fn render(&self, gauges: &GaugeValues) -> Result<String, fmt::Error> {
        // Other parts of the server measure these. A registry of constants is cheaper than keeping copies up to date.
        let mut measured = Registry::default();
        let mut gauge = |name, help, value: u64| measured.register(name, help, ConstGauge::new(value));
        gauge("dropsafe_locked", "1 if no release key is in memory", u64::from(gauges.locked));
        gauge("dropsafe_in_flight_requests", "Requests in flight", gauges.in_flight as u64);
        gauge("dropsafe_boots_at_work", "Boots in flight", gauges.active_boots as u64);
        gauge("dropsafe_boots_waiting", "Boots that wait for their turn", gauges.waiting_boots as u64);
        gauge("dropsafe_open_connections", "Open connections", gauges.connections);
        gauge("dropsafe_journal_waiting", "Operations that wait for their commit", gauges.queue as u64);
        gauge("dropsafe_key_generation", "Generation of the release key", u64::from(gauges.generation));
        if let Some(check) = &gauges.state_check {
            let seconds = |at: Timestamp| u64::try_from(at.as_millis() / 1000).unwrap_or(0);
            gauge(
                "dropsafe_state_check_ok",
                "1 if all rows are what the audit log says",
                u64::from(check.ok),
            );
            gauge("dropsafe_state_check_faults", "Rows that are not what the audit log says", check.faults);
            gauge("dropsafe_state_check_rows", "Rows that were verified", check.rows);
            gauge(
                "dropsafe_state_check_started_seconds",
                "When it started, in Unix time",
                seconds(check.started_at),
            );
            let period = check.period.map_or(0, |period| period.as_secs());
            gauge("dropsafe_state_check_period_seconds", "Time between two verifications", period);
        }
        gauge("dropsafe_unusable_secrets", "Secrets whose values do not open", gauges.unusable);
        let mut counter = |name, help, value| measured.register(name, help, ConstCounter::new(value));
        counter("dropsafe_kv_commits", "Commits of the byte store since it was created", gauges.revision);
        counter("dropsafe_audit_entries", "Audit entries written", gauges.audit_entries);
        // About the size of a whole scrape.
        let mut text = String::with_capacity(16 * 1024);
        prometheus_text::encode(&mut text, &measured)?;
        // This counter had its name before the library came, and dashboards use it.
        text = text.replace("dropsafe_kv_commits_total", "dropsafe_kv_commits");
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_counted_by_route_and_class() {
        let metrics = Metrics::new(&[(Method::GET, "/v1/secrets".to_owned())]);
        let ms = Duration::from_millis;
        metrics.count_response(Some("/v1/secrets"), &Method::GET, StatusCode::OK, ms(1));
        metrics.count_response(Some("/v1/secrets"), &Method::GET, StatusCode::NOT_FOUND, ms(20));
        metrics.count_response(None, &Method::GET, StatusCode::NOT_FOUND, ms(1));
        metrics.count_response(Some("/v1/secrets"), &Method::TRACE, StatusCode::METHOD_NOT_ALLOWED, ms(1));
        let text = metrics.render(&GaugeValues { locked: true, ..GaugeValues::default() }).unwrap();
        for line in [
            "dropsafe_http_requests_total{method=\"GET\",route=\"/v1/secrets\",status=\"2xx\"} 1",
            "dropsafe_http_requests_total{method=\"GET\",route=\"/v1/secrets\",status=\"4xx\"} 1",
            "dropsafe_http_requests_total{method=\"other\",route=\"none\",status=\"4xx\"} 2",
            "dropsafe_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/secrets\",le=\"0.001\"} 1",
            "dropsafe_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/secrets\",le=\"+Inf\"} 2",
            "dropsafe_locked 1",
            "# TYPE dropsafe_kv_commits counter",
            "# TYPE dropsafe_boots_total counter",
            "dropsafe_kv_commits 0",
            "dropsafe_audit_entries_total 0",
            concat!("dropsafe_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
        }
    }
}
