# Sample configuration of a Waggle node:  waggle serve --config cluster.hcl
#
# Every key is here with its default, so a node that is given this file runs
# exactly as one that is given none. Delete what you do not change. Each key can
# also be given in the environment, as WAGGLE_ and its path in upper case
# (WAGGLE_LISTEN_ADDRESS); the stronger wins: flag, environment, file, default.
# Sizes are in bytes or in "KB", "MB", "GB" (1 MB = 2^20 bytes); times are
# "500ms", "30s", "5m".

# Everything the node keeps. One process at a time.
data_dir = "./data"

# The cluster secret: 64 hexadecimal digits, mode 0600. Access keys are stored
# as hashes under it, so a backup of the data is of no use without it.
# "" is the file `secret` in data_dir, made at the first start.
secret_file = ""

# Into how many partitions tenants are spread, 16 to 1024. Decided when the
# data directory is first used; afterwards the number in there counts.
partitions = 64

listen {
  # The main API. An address that other machines can reach is refused without
  # tls, unless behind_proxy says that something in front does TLS: keys would
  # cross the network in the clear.
  address = "127.0.0.1:15002"

  # The Qdrant API at the root, where Qdrant's clients expect it; "off" for none.
  # It is always at /qdrant of the main API, too.
  qdrant_address = "127.0.0.1:6333"

  behind_proxy = false

  # Addresses or networks of proxies that are believed when they say in
  # X-Forwarded-For for whom they ask: ["10.0.0.0/8", "2001:db8::7"]. The last
  # address in there that is none of these is the client's. For all others the
  # header means nothing.
  trusted_proxies = []

  # Origins whose pages may read answers in a browser: ["https://app.example.com"].
  # Without any, no answer has a CORS header.
  cors_origins = []

  # What clients speak on every address above and on hub.listen. The files are
  # read again when they change. With client_ca_file a client needs a certificate
  # of one of the authorities in it, besides its key.
  tls {
    cert_file      = "" # PEM, with what is between it and the root
    key_file       = ""
    client_ca_file = ""
  }
}

log {
  level  = "info" # debug, info, warn, error
  format = "text" # text, json
}

# Who knows the keys.
hub {
  # false needs tenant_isolation = "none": no key is looked at.
  enabled = true

  # embedded: the hub inside the cluster. remote: one outside of it, at api_url.
  mode = "embedded"

  # collection: each tenant has its own names. none: requests without a key are
  # those of the tenant `default`; for one node, on this machine only, and asked
  # by a Host of this machine.
  tenant_isolation = "collection"

  # The hub's API for services and the operator, for other programs than clients
  # of the data: 127.0.0.1:15004, or "off". It is on the main API too, for the
  # operator alone.
  listen = "off"

  # Proves the requests of services that act for tenants, 32 characters or more,
  # the same on every node and in the service. Better in HIVEHUB_SIGNING_SECRET
  # than here. Without it no such request is believed.
  signing_secret = ""

  # How often each node tells the hub what its tenants have used. A node that
  # has much to tell, and one that stops, does it earlier.
  usage_report_interval = "5m"

  # The rest is for mode = "remote": where the hub is (also HIVEHUB_API_URL), and
  # the key of a service there with which this node asks it. Better in
  # HIVEHUB_SERVICE_API_KEY than here.
  api_url         = "https://api.hivehub.cloud"
  service_api_key = ""
  service_name    = "waggle"

  # How long a question to the hub may take, all its tries together; and how
  # often one is tried again after an error of the network or the server.
  timeout_seconds = 30
  retries         = 3

  # What the hub said of a key or a tenant is good for so long; beyond that, and
  # only while the hub does not answer, for grace_seconds.
  cache {
    enabled             = true
    api_key_ttl_seconds = 300
    quota_ttl_seconds   = 60
    grace_seconds       = 900
    max_entries         = 100000 # keys, and likewise tenants
  }

  connection_pool {
    max_idle_per_host = 10
  }
}

storage {
  # Size of one file of the node log.
  segment_bytes = "64MB"

  # A partition's changes go from memory to its store when they reach this size
  # or this age, whichever is first.
  checkpoint_bytes    = "16MB"
  checkpoint_interval = "30s"

  # Changes of all partitions held in memory; writes wait above it.
  delta_max_bytes = "256MB"
}

# A row for every request of a tenant or of the operator that this node answered,
# on its disk. The oldest go when there are more bytes than this, or at this age.
operation_log {
  keep_bytes = "256MB"
  keep_for   = "2160h" # 90 days
}

# Among the series that the operator's key sees at /metrics are those of this many
# tenants, of those that ask this node for most; the others are one series together.
metrics {
  tenants = 20
}

# Where traces of requests go, as OTLP over HTTP: "http://127.0.0.1:4318"; "" for
# nowhere. They name tenants and routes, and nothing of what is asked or stored.
tracing {
  endpoint     = ""
  sample_ratio = 0.1 # of all traces, by their ids: also of those that a caller begins
}

# How tenants share the processors. Searches, pages, counts, reads by filter and
# the decoding of large bodies take turns: whoever has used the least time of
# late goes first, and long scans give way.
search {
  slots            = 0 # pieces of work at a time; 0: one per core
  slots_per_tenant = 0 # of one tenant; 0: all, as long work gives way

  # What waits for a turn, of all tenants and of one; past it 429 TOO_MANY_REQUESTS.
  queue            = 4096
  queue_per_tenant = 256
}

limits {
  # Of one request.
  body_bytes             = "32MB"
  json_depth             = 32
  dimension              = 65535
  batch_points           = 10000
  top_k                  = 10000 # limit + offset of a query, limit of a scroll
  ef                     = 10000
  filter_nodes           = 1024 # conditions and nested filters
  name_length            = 255  # of a collection's name, in bytes of UTF-8
  idempotency_key_length = 255

  # Of all clients.
  connections       = 10000 # open at once, per listener
  header_bytes      = "16KB"
  all_bodies_bytes  = "1GB"  # request bodies held at once
  file_bytes        = "10MB" # of a file that is uploaded; its form is within body_bytes
  import_bytes      = "8GB"  # of the body of an import, which is not held
  upload_rate_bytes = "64KB" # per second; a slower upload is cut off ...
  upload_grace      = "10s"  # ... but not before this time
  header_timeout    = "10s"
  idle_timeout      = "75s"
  response_timeout  = "1m"

  # How long a request may take when it does not say, and the most it may ask for.
  read_deadline  = "5s"
  write_deadline = "30s"
  deadline_max   = "5m"

  # An address (of IPv6 its /64) that sends so many wrong keys in auth_window is
  # answered 429 for auth_block. A key that is good is never refused for it.
  auth_failures = 5
  auth_window   = "1m"
  auth_block    = "5m"

  # Agents (MCP at /mcp): calls of tools by all of a tenant's, and how many of
  # their requests may be under way at once. Past it they are answered -32004.
  mcp_per_minute = 100
  mcp_per_hour   = 1000
  mcp_concurrent = 10
}

# An endpoint that makes vectors of texts, in the form of OpenAI's
# /v1/embeddings, for every tenant that has none of its own (PUT /auth/embedding).
# A collection that is created with `embedding` keeps the model and dimension, and
# refuses those of another.
embedding {
  url       = "" # that requests are posted to: "https://api.openai.com/v1/embeddings"
  model     = ""
  api_key   = "" # better in WAGGLE_EMBEDDING_API_KEY than here
  dimension = 0  # of its vectors; must be said when there is a url

  # Lets the address be a private one or of this machine, and the url be http://.
  # The addresses where clouds keep their metadata stay refused.
  allow_private = false

  batch   = 64    # texts in one request
  timeout = "30s" # of one request

  # Vectors of queries that are kept, of all tenants together.
  cache_bytes = "32MB"

  # The same for the endpoints of tenants. Whoever has an ADMIN key can then make
  # this node ask whatever it can reach.
  tenants_allow_private = false
}

# An endpoint that orders documents by a query, for searches that ask for it.
rerank {
  url           = "" # "https://api.cohere.com/v2/rerank", "https://api.jina.ai/v1/rerank"
  model         = ""
  api_key       = "" # better in WAGGLE_RERANK_API_KEY than here
  allow_private = false
  timeout       = "30s"

  # documents: {"model", "query", "documents"}, as Cohere and Jina have it.
  # texts: {"query", "texts"}, as Text Embeddings Inference has it.
  form = "documents"
}

# This node as one of several; without a name it is alone. The first node is one
# that was alone before; a further one begins with an empty data_dir and a token
# of `waggle cluster token`. docs/cluster.md shows it step by step.
cluster {
  name    = "" # the same on every node: a-z 0-9 -, up to 63
  node_id = "" # this node's own; the same characters
  listen  = "" # HOST:PORT for the other nodes; mutual TLS, nothing else is spoken there

  # Where the other nodes reach this one, when that is not listen.
  advertise = ""

  # Used once, by an empty node. Better in WAGGLE_CLUSTER_JOIN_TOKEN than here.
  join_token = ""

  # A node that has been away for so long is replaced by another one, if there
  # is one: its replicas are made anew there.
  swap_after = "5m"

  # Consul knows who is in the cluster. Data never depends on it.
  consul {
    address = "" # HOST:PORT
    token   = "" # ACL token, sent with every call
  }

  # Files instead of what the cluster's own authority issues: all three or none.
  # They are read again when they change. A certificate names its node by
  # common name and the URI waggle://CLUSTER-ID/NUMBER.
  tls {
    cert = ""
    key  = ""
    ca   = ""
  }
}
