package httpedge

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
)

// meter counts what the edge does. Its labels come from the route table and
// the error tables only, so no request can make a new series, and none names a
// tenant.
type meter struct {
	open     *prometheus.Registry // process and HTTP, for everybody
	all      prometheus.Gatherers // and the rest of the node, for the operator
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refusals *prometheus.CounterVec
	rates    *prometheus.CounterVec
}

func newMeter(version string, rest prometheus.Gatherer) *meter {
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
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "waggle_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.open.MustRegister(m.requests, m.seconds, m.refusals, m.rates, build, newPauses(),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.all = prometheus.Gatherers{m.open}
	if rest != nil {
		m.all = append(m.all, rest)
	}
	return m
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

// metrics answers with the series of the process and of HTTP, and to the
// operator's key with those of the whole node.
func (s *Server) metrics(r *request) error {
	gatherer := prometheus.Gatherer(s.meter.open)
	if tc, err := r.authenticate(); err == nil && tc.IsOperator {
		gatherer = s.meter.all
	}
	fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))(r.http)
	return nil
}
