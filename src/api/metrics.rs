//! Counters and their Prometheus text (exposition format 0.0.4). Labels are routes and methods from the route table and
//! fixed words: never a path, name or address from a request, so that their number is bounded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{Method, StatusCode};

/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the histogram, microseconds. A boot takes about 1 ms, a passphrase 100 ms and more.
const BOUNDS: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000, 10_000_000];

/// What a request that matched no route counts under.
const NO_ROUTE: (&str, &str) = ("other", "none");

/// Everything that is counted by the API.
pub struct Metrics {
    routes: BTreeMap<(String, String), Series>,
    unrouted: Series,
    /// Boots answered with values.
    pub boots: AtomicU64,
    /// Boots refused, for whatever reason.
    pub boots_refused: AtomicU64,
    /// Values that left.
    pub released: AtomicU64,
    /// Requests refused with 503 `overloaded`.
    pub shed: AtomicU64,
    /// Wrong credentials and passphrases.
    pub guesses: AtomicU64,
}

#[derive(Default)]
struct Series {
    classes: [AtomicU64; 5],
    buckets: [AtomicU64; BOUNDS.len()],
    sum_micros: AtomicU64,
}

/// What is measured elsewhere, at the time of asking.
#[derive(Clone, Debug, Default)]
pub struct GaugeValues {
    /// Whether no release key is in memory.
    pub locked: bool,
    /// Requests being worked on.
    pub in_flight: usize,
    /// Boots at work.
    pub boots_at_work: usize,
    /// Boots that wait for their turn.
    pub boots_waiting: usize,
    /// Connections open.
    pub connections: u64,
    /// The byte store's revision: one more for each commit.
    pub revision: u64,
    /// Operations that wait for their commit.
    pub queue: usize,
    /// Generation of the release key.
    pub generation: u32,
    /// Audit entries that this process has written.
    pub audit_entries: u64,
}

impl Metrics {
    /// Zeros, with a series for each of the routes.
    pub fn new(routes: &[(Method, String)]) -> Self {
        let key = |(method, path): &(Method, String)| (path.clone(), method.as_str().to_owned());
        Self {
            routes: routes.iter().map(|route| (key(route), Series::default())).collect(),
            unrouted: Series::default(),
            boots: AtomicU64::default(),
            boots_refused: AtomicU64::default(),
            released: AtomicU64::default(),
            shed: AtomicU64::default(),
            guesses: AtomicU64::default(),
        }
    }

    /// Counts one answer. `route` is the matched path, if one matched.
    pub fn answered(&self, route: Option<&str>, method: &Method, status: StatusCode, took: Duration) {
        // Owned keys only because a map of pairs cannot be asked with borrowed ones; both are short.
        let key = route.map(|route| (route.to_owned(), method.as_str().to_owned()));
        let series = key.and_then(|key| self.routes.get(&key)).unwrap_or(&self.unrouted);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        if let Some(count) = series.classes.get(class) {
            count.fetch_add(1, Relaxed);
        }
        for (bucket, bound) in series.buckets.iter().zip(BOUNDS) {
            if micros <= bound {
                bucket.fetch_add(1, Relaxed);
            }
        }
        series.sum_micros.fetch_add(micros, Relaxed);
    }

    /// The text, with what is measured elsewhere.
    pub fn text(&self, gauges: &GaugeValues) -> String {
        let mut text = String::with_capacity(16 * 1024);
        let mut one = |name: &str, kind: &str, help: &str, value: u64| {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        };
        one("dropsafe_boots_total", "counter", "Boots answered with values.", self.boots.load(Relaxed));
        one("dropsafe_boots_refused_total", "counter", "Boots refused.", self.boots_refused.load(Relaxed));
        one("dropsafe_released_entries_total", "counter", "Values released.", self.released.load(Relaxed));
        one("dropsafe_shed_total", "counter", "Requests refused as overload.", self.shed.load(Relaxed));
        one(
            "dropsafe_guesses_total",
            "counter",
            "Wrong credentials and passphrases.",
            self.guesses.load(Relaxed),
        );
        one("dropsafe_locked", "gauge", "1 when no release key is in memory.", u64::from(gauges.locked));
        one("dropsafe_in_flight_requests", "gauge", "Requests being worked on.", gauges.in_flight as u64);
        one("dropsafe_boots_at_work", "gauge", "Boots being released.", gauges.boots_at_work as u64);
        one(
            "dropsafe_boots_waiting",
            "gauge",
            "Boots that wait for their turn.",
            gauges.boots_waiting as u64,
        );
        one("dropsafe_open_connections", "gauge", "Connections open.", gauges.connections);
        one(
            "dropsafe_kv_commits",
            "counter",
            "Commits of the byte store since it was made.",
            gauges.revision,
        );
        one(
            "dropsafe_journal_waiting",
            "gauge",
            "Operations that wait for their commit.",
            gauges.queue as u64,
        );
        one(
            "dropsafe_key_generation",
            "gauge",
            "Generation of the release key.",
            u64::from(gauges.generation),
        );
        one("dropsafe_audit_entries_total", "counter", "Audit entries written.", gauges.audit_entries);
        let build = "dropsafe_build_info";
        let version = env!("CARGO_PKG_VERSION");
        let _ = write!(
            text,
            "# HELP {build} The program.\n# TYPE {build} gauge\n{build}{{version=\"{version}\"}} 1\n"
        );
        self.write_requests(&mut text);
        self.write_durations(&mut text);
        text
    }

    fn series(&self) -> impl Iterator<Item = ((&str, &str), &Series)> {
        let routed =
            self.routes.iter().map(|((path, method), series)| ((method.as_str(), path.as_str()), series));
        routed.chain([(NO_ROUTE, &self.unrouted)])
    }

    fn write_requests(&self, text: &mut String) {
        let name = "dropsafe_http_requests_total";
        let _ = write!(text, "# HELP {name} Requests answered.\n# TYPE {name} counter\n");
        for ((method, route), series) in self.series() {
            for (class, count) in series.classes.iter().enumerate() {
                let count = count.load(Relaxed);
                if count > 0 {
                    let class = class + 1;
                    let _ = writeln!(
                        text,
                        "{name}{{method=\"{method}\",route=\"{route}\",status=\"{class}xx\"}} {count}"
                    );
                }
            }
        }
    }

    fn write_durations(&self, text: &mut String) {
        let name = "dropsafe_http_request_duration_seconds";
        let _ = write!(
            text,
            "# HELP {name} From the request's headers to the answer's.\n# TYPE {name} histogram\n"
        );
        for ((method, route), series) in self.series() {
            let count: u64 = series.classes.iter().map(|count| count.load(Relaxed)).sum();
            if count == 0 {
                continue;
            }
            let labels = format!("method=\"{method}\",route=\"{route}\"");
            for (bucket, bound) in series.buckets.iter().zip(BOUNDS) {
                let (bound, within) = (seconds(bound), bucket.load(Relaxed));
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {within}");
            }
            let sum = seconds(series.sum_micros.load(Relaxed));
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(text, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
        }
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_route_and_class() {
        let metrics = Metrics::new(&[(Method::GET, "/v1/secrets".to_owned())]);
        let ms = Duration::from_millis;
        metrics.answered(Some("/v1/secrets"), &Method::GET, StatusCode::OK, ms(1));
        metrics.answered(Some("/v1/secrets"), &Method::GET, StatusCode::NOT_FOUND, ms(20));
        metrics.answered(None, &Method::GET, StatusCode::NOT_FOUND, ms(1));
        metrics.answered(Some("/v1/secrets"), &Method::TRACE, StatusCode::METHOD_NOT_ALLOWED, ms(1));
        let text = metrics.text(&GaugeValues { locked: true, ..GaugeValues::default() });
        for line in [
            "dropsafe_http_requests_total{method=\"GET\",route=\"/v1/secrets\",status=\"2xx\"} 1",
            "dropsafe_http_requests_total{method=\"GET\",route=\"/v1/secrets\",status=\"4xx\"} 1",
            "dropsafe_http_requests_total{method=\"other\",route=\"none\",status=\"4xx\"} 2",
            "dropsafe_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/secrets\",le=\"0.001\"} 1",
            "dropsafe_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/secrets\",le=\"+Inf\"} 2",
            "dropsafe_locked 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
        }
    }
}
