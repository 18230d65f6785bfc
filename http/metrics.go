package httpedge

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/http/embedding"
	"github.com/hivehub/waggle/tenant"
)

// meter counts what the edge does. Its labels come from the route table and
// the error tables only, so no request can make a new series, and none names a
// tenant: tenantMeter counts by those.
type meter struct {
	open     *prometheus.Registry // process and HTTP, for everybody
	all      prometheus.Gatherers // and the rest of the node, for the operator
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refusals *prometheus.CounterVec
	rates    *prometheus.CounterVec
	errors   *prometheus.CounterVec
	quotas   *prometheus.CounterVec
	tools    *prometheus.CounterVec
	calls    *prometheus.HistogramVec
}

func newMeter(version string, state prometheus.Collector, rest prometheus.Gatherer) *meter {
	m := &meter{
		open: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waggle_http_requests_total", Help: "Requests answered, by surface, route and class of status.",
		}, []string{"surface", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "waggle_http_request_seconds", Help: "Time from a request's headers to its answer.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
		}, []string{"surface", "route"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waggle_http_auth_failures_total", Help: "Requests refused for their credential, by the error's code.",
		}, []string{"code"}),
		rates: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waggle_http_rate_refusals_total", Help: "Requests refused because the tenant or the key has made as many as it may, by whose rate it was and its window.",
		}, []string{"of", "window"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waggle_http_errors_total", Help: "Requests answered with an error, by the error's code.",
		}, []string{"code"}),
		quotas: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waggle_http_quota_refusals_total", Help: "Requests refused because the tenant may not store more, by which of its quotas.",
		}, []string{"quota"}),
		tools: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waggle_mcp_calls_total", Help: "Calls of MCP tools, by tool and outcome.",
		}, []string{"tool", "outcome"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "waggle_embedding_call_seconds", Help: "Requests to embedding and reranking endpoints, each try by itself, by outcome.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"outcome"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "waggle_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.open.MustRegister(m.requests, m.seconds, m.refusals, m.rates, m.errors, m.quotas, m.tools, m.calls, build, state, newPauses(),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.begin()
	m.all = prometheus.Gatherers{m.open}
	if rest != nil {
		m.all = append(m.all, rest)
	}
	return m
}

// begin makes the series that the tables know: what has not happened yet is 0,
// not absent, so that the first time is seen as a change.
func (m *meter) begin() {
	for _, f := range faults.reasons {
		m.errors.WithLabelValues(f.word)
	}
	for _, f := range faults.codes {
		m.errors.WithLabelValues(f.word)
		if f.native == 401 {
			m.refusals.WithLabelValues(f.word)
		}
	}
	for _, reason := range []collection.Reason{reasonAuthMissing, reasonAuthFormat, reasonAuthKey, reasonAuthExpired, reasonAuthRate, collection.ReasonNonceReplayed} {
		m.refusals.WithLabelValues(faults.reasons[reason].word)
	}
	for name := range quotaNames {
		m.quotas.WithLabelValues(name)
	}
	for window := range tenant.RateWindows {
		for _, of := range []string{"tenant", "key"} {
			m.rates.WithLabelValues(of, tenant.RateWindow(window).String())
		}
	}
	for i := range mcpTools {
		m.tools.WithLabelValues(mcpTools[i].name, "ok")
		m.tools.WithLabelValues(mcpTools[i].name, "error")
	}
	m.calls.WithLabelValues("ok")
}

var statusClasses = [...]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}

func (m *meter) request(s surface, route string, status int, took time.Duration) {
	class := statusClasses[0]
	if n := status / 100; n > 0 && n < len(statusClasses) {
		class = statusClasses[n]
	}
	name := s.String()
	m.requests.WithLabelValues(name, route, class).Inc()
	m.seconds.WithLabelValues(name, route).Observe(took.Seconds())
}

func (m *meter) refused(code string) { m.refusals.WithLabelValues(code).Inc() }

func (m *meter) rateRefused(of, window string) { m.rates.WithLabelValues(of, window).Inc() }

// quotaNames are the quotas that can refuse.
var quotaNames = map[string]bool{"vector_count": true, "storage_bytes": true, "collection_count": true}

// failed counts an answer that is an error. It is called where the client is
// answered, whoever has refused.
func (m *meter) failed(e *collection.Error, word string) {
	m.errors.WithLabelValues(word).Inc()
	if e.Reason != collection.ReasonQuota {
		return
	}
	usage, _ := e.Details["usage"].(map[string]any)
	name, _ := usage["type"].(string)
	if !quotaNames[name] {
		name = "other"
	}
	m.quotas.WithLabelValues(name).Inc()
}

// called counts a call of a tool.
func (m *meter) called(tool string, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "error"
	}
	m.tools.WithLabelValues(tool, outcome).Inc()
}

// embedded counts a request to an endpoint of models.
func (m *meter) embedded(err error, took time.Duration) {
	outcome := "ok"
	if e, ok := errors.AsType[*embedding.Error](err); ok {
		outcome = e.Kind.String()
	} else if err != nil {
		outcome = "ended"
	}
	m.calls.WithLabelValues(outcome).Observe(took.Seconds())
}

// load is what the edge has to do now, as series.
type load struct{ s *Server }

var (
	loadRequests = prometheus.NewDesc("waggle_http_requests_running", "Requests under way.", nil, nil)
	loadBodies   = prometheus.NewDesc("waggle_http_bodies_bytes", "Bytes of request bodies in memory.", nil, nil)
	loadWaiters  = prometheus.NewDesc("waggle_http_waiters", "Requests that wait for the hub's events.", nil, nil)
)

// Describe implements prometheus.Collector.
func (load) Describe(to chan<- *prometheus.Desc) {
	to <- loadRequests
	to <- loadBodies
	to <- loadWaiters
}

// Collect implements prometheus.Collector.
func (l load) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.MustNewConstMetric(loadRequests, prometheus.GaugeValue, float64(l.s.inFlight.running()))
	to <- prometheus.MustNewConstMetric(loadBodies, prometheus.GaugeValue, float64(l.s.bodies.Load()))
	to <- prometheus.MustNewConstMetric(loadWaiters, prometheus.GaugeValue, float64(l.s.waiters.Load()))
}

// metrics answers with the series that the key may see.
func (s *Server) metrics(r *request) error {
	fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(s.seriesFor(r), promhttp.HandlerOpts{}))(r.http)
	return nil
}
