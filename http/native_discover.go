package httpedge

import (
	"strconv"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// nativeDiscover are the searches that do more than find what is nearest.
func (s *Server) nativeDiscover() []*native {
	return []*native{
		operation[intelligentSearch, intelligentAnswer]{
			id: "search_intelligent", method: "POST", path: "/intelligent_search", op: tenant.OpRead, logs: tenant.LogSearch,
			summary: "Search collections for several forms of a query at once, and return hits that differ.",
			about: "The query is expanded by words alone: it is searched for as given, without common English words, by its rarest words, and with words that its best hits share; " +
				"where an embedding endpoint makes a collection's vectors, also by its vector. The lists are fused by ranks (RRF, k = 60), those of several collections again. " +
				"Points and texts that are there twice are returned once; of the rest, maximal marginal relevance chooses hits that are unlike each other, by the words that they share. " +
				"The answer says which forms were searched for.",
			do: s.nativeIntelligentSearch,
		}.native(),
		operation[semanticSearch, foundAnswer]{
			id: "search_semantic", method: "POST", path: "/semantic_search", op: tenant.OpRead, logs: tenant.LogSearch,
			summary: "Find the points whose vectors are nearest to that of a query.",
			about:   "Of collections whose vectors the embedding endpoint makes; of others 409 NO_EMBEDDING_ENDPOINT. Both ways of reranking are the configured endpoint's, which is given the best four times max_results.",
			do:      s.nativeSemanticSearch,
		}.native(),
		operation[contextualSearch, foundAnswer]{
			id: "contextual_search", method: "POST", path: "/contextual_search", op: tenant.OpRead, logs: tenant.LogSearch,
			summary: "Search a collection by words, among the points whose payload is as wanted.",
			about:   "The filter holds within the search: what it leaves out takes no place. Where the embedding endpoint makes the collection's vectors, both lists are fused by ranks (RRF, k = 60).",
			do:      s.nativeContextualSearch,
		}.native(),
		operation[multiSearch, multiAnswer]{
			id: "multi_collection_search", method: "POST", path: "/multi_collection_search", op: tenant.OpRead, logs: tenant.LogSearch,
			summary: "Search several collections by words and merge what they find.",
			about: "Scores of different collections cannot be compared, so ranks are: the best hit of each comes first, in the order of collections, then the second best of each, and so on; " +
				"a score is 1/(60 + rank).",
			do: s.nativeMultiSearch,
		}.native(),
	}
}

// foundHit is a point that a search by words found.
type foundHit struct {
	Collection collectionName     `json:"collection"`
	ID         vectorID           `json:"id"`
	Score      float64            `json:"score" doc:"The larger the better, but for distances: a semantic search of euclidean or manhattan answers with these. Scores of two searches cannot be compared."`
	Rerank     *float64           `json:"rerank_score,omitempty" doc:"The reranking endpoint's; the order is then by it."`
	Payload    collection.Payload `json:"payload,omitempty"`
}

func foundHits(list []found) []foundHit {
	out := make([]foundHit, len(list))
	for i := range list {
		f := &list[i]
		out[i] = foundHit{Collection: f.name, ID: shownID(f.hit.ID, f.hit.Payload), Score: f.score, Rerank: f.rerank, Payload: f.hit.Payload}
		delete(f.hit.Payload, idMember)
	}
	return out
}

type foundAnswer struct {
	Results    []foundHit     `json:"results" doc:"The best first."`
	QueryType  string         `json:"query_type" enum:"text,semantic,hybrid" doc:"What was searched: the text index, the vectors, or both."`
	Collection collectionName `json:"collection"`
	Total      int            `json:"total_results"`
}

type semanticSearch struct {
	Query        string             `json:"query" min:"1" max:"8192"`
	Collection   collectionName     `json:"collection" alias:"collection_name"`
	MaxResults   int                `json:"max_results" alias:"limit" default:"10" min:"1" max:"100"`
	Semantic     bool               `json:"semantic_reranking" default:"false" doc:"Order the hits by the reranking endpoint; refused where there is none."`
	CrossEncoder bool               `json:"cross_encoder_reranking" default:"false" doc:"The same."`
	Threshold    *float32           `json:"similarity_threshold" alias:"threshold" doc:"Only what is nearer: a higher score for cosine and dot, a lower one for euclidean and manhattan."`
	Filter       *collection.Filter `json:"filter" doc:"Only what passes it. As in Qdrant's API: must, should, must_not, min_should."`
}

func (s *Server) nativeSemanticSearch(r *request, tc tenant.Context, q *semanticSearch) (foundAnswer, error) {
	reranked, err := rerankers{"semantic_reranking": q.Semantic, "cross_encoder_reranking": q.CrossEncoder}.asked(s)
	if err != nil {
		return foundAnswer{}, err
	}
	info, err := s.engine.GetCollection(r.ctx, tc, string(q.Collection))
	if err != nil {
		return foundAnswer{}, err
	}
	f := newFinder(s, r, &tc, info)
	if f.name = q.Collection; !f.dense {
		return foundAnswer{}, &collection.Error{
			Code: collection.FailedPrecondition, Reason: reasonNoEmbedding,
			Message: "no embedding endpoint makes the vectors of collection " + clipped(string(q.Collection)) + ": create it with embedding, or search it by words or by vectors",
		}
	}
	f.only = true
	limit := q.MaxResults
	if reranked {
		limit = candidatesOf(limit)
	}
	list, err := f.hits(variants(q.Query, nil, nil)[:1], wanted{limit: limit, filter: q.Filter, threshold: q.Threshold})
	if err == nil && reranked {
		list, err = s.rerank(r, q.Query, list)
	}
	if err != nil {
		return foundAnswer{}, err
	}
	list = list[:min(len(list), q.MaxResults)]
	return foundAnswer{Results: foundHits(list), QueryType: querySemantic, Collection: q.Collection, Total: len(list)}, nil
}

type contextualSearch struct {
	Query      string             `json:"query" min:"1" max:"8192"`
	Collection collectionName     `json:"collection" alias:"collection_name"`
	Context    collection.Payload `json:"context_filters,omitempty" doc:"By paths in the payload the value that must be there, or a list of which one must be." max:"64"`
	Filter     *collection.Filter `json:"filter" doc:"Only what passes it, too. As in Qdrant's API: must, should, must_not, min_should."`
	MaxResults int                `json:"max_results" alias:"limit" default:"10" min:"1" max:"100"`
	Rerank     bool               `json:"context_reranking" default:"false" doc:"Order the hits by the reranking endpoint; refused where there is none."`
	Weight     *float64           `json:"context_weight" doc:"Refused: a filter lets a point pass or not, it has no weight."`
}

func (s *Server) nativeContextualSearch(r *request, tc tenant.Context, q *contextualSearch) (foundAnswer, error) {
	if q.Weight != nil {
		return foundAnswer{}, placed(within("context_weight", errValue("a filter lets a point pass or not, it has no weight")))
	}
	reranked, err := rerankers{"context_reranking": q.Rerank}.asked(s)
	if err != nil {
		return foundAnswer{}, err
	}
	filter, err := contextFilter(q.Context, q.Filter)
	if err != nil {
		return foundAnswer{}, err
	}
	f, err := s.finder(r, &tc, q.Collection)
	if err != nil {
		return foundAnswer{}, err
	}
	limit := q.MaxResults
	if reranked {
		limit = candidatesOf(limit)
	}
	list, err := f.hits(variants(q.Query, nil, nil)[:1], wanted{limit: limit, filter: filter})
	if err == nil && reranked {
		list, err = s.rerank(r, q.Query, list)
	}
	if err != nil {
		return foundAnswer{}, err
	}
	list = list[:min(len(list), q.MaxResults)]
	return foundAnswer{Results: foundHits(list), QueryType: f.kind(), Collection: q.Collection, Total: len(list)}, nil
}

// collectionsMax is how many collections one search may be about.
const collectionsMax = 32

type multiSearch struct {
	Query       string           `json:"query" min:"1" max:"8192"`
	Collections []collectionName `json:"collections" doc:"Each once." min:"1" max:"32"`
	Each        int              `json:"max_per_collection" default:"5" min:"1" max:"100" doc:"How many of one collection to take at most."`
	MaxResults  int              `json:"max_total_results" alias:"limit" default:"20" min:"1" max:"1000"`
	Rerank      bool             `json:"cross_collection_reranking" default:"false" doc:"Order what was merged by the reranking endpoint; refused where there is none."`
}

type multiAnswer struct {
	Results     []foundHit       `json:"results" doc:"The best first."`
	Collections []collectionName `json:"collections"`
	Total       int              `json:"total_results"`
}

func (s *Server) nativeMultiSearch(r *request, tc tenant.Context, q *multiSearch) (multiAnswer, error) {
	reranked, err := rerankers{"cross_collection_reranking": q.Rerank}.asked(s)
	if err != nil {
		return multiAnswer{}, err
	}
	all, err := s.finders(r, &tc, q.Collections)
	if err != nil {
		return multiAnswer{}, err
	}
	lists := make([][]found, len(all))
	for i, f := range all {
		if lists[i], err = f.hits(variants(q.Query, nil, nil)[:1], wanted{limit: q.Each}); err != nil {
			return multiAnswer{}, err
		}
	}
	list := mergeRanks(lists)
	if reranked {
		list = list[:min(len(list), candidatesOf(q.MaxResults))]
		if list, err = s.rerank(r, q.Query, list); err != nil {
			return multiAnswer{}, err
		}
	}
	list = list[:min(len(list), q.MaxResults)]
	return multiAnswer{Results: foundHits(list), Collections: q.Collections, Total: len(list)}, nil
}

// finders returns those of collections, of which none may be named twice.
func (s *Server) finders(r *request, tc *tenant.Context, names []collectionName) ([]*finder, error) {
	seen := map[uint64]bool{}
	all := make([]*finder, len(names))
	for i, name := range names {
		f, err := s.finder(r, tc, name)
		if err != nil {
			return nil, err
		}
		if seen[f.info.ID] {
			return nil, placed(within("collections", within("["+strconv.Itoa(i)+"]", errValue(clipped(string(name))+" is there twice"))))
		}
		seen[f.info.ID] = true
		all[i] = f
	}
	return all, nil
}

type intelligentSearch struct {
	Query       string           `json:"query" min:"1" max:"8192"`
	Collections []collectionName `json:"collections,omitempty" doc:"Each once; without any, those that the key is for and that can be searched by words, up to 32." max:"32"`
	MaxResults  int              `json:"max_results" alias:"limit" default:"10" min:"1" max:"100"`
	Expansion   bool             `json:"domain_expansion" default:"true" doc:"Search for further forms of the query. They are made of words: of a collection without a text index there are none."`
	Technical   bool             `json:"technical_focus" default:"false" doc:"true is refused: nothing here knows which texts are technical."`
	MMR         bool             `json:"mmr_enabled" default:"true" doc:"Choose hits that are unlike each other; without it, the best."`
	Lambda      float64          `json:"mmr_lambda" default:"0.7" min:"0" max:"1" doc:"1 counts relevance alone, 0 difference alone."`
}

type intelligentAnswer struct {
	Results     []foundHit      `json:"results" doc:"In the order in which they were chosen."`
	Collections []searchedForms `json:"collections" doc:"What each collection was searched for."`
	Total       int             `json:"total_results"`
}

type searchedForms struct {
	Collection collectionName `json:"collection"`
	QueryType  string         `json:"query_type" enum:"text,semantic,hybrid"`
	Queries    []variant      `json:"queries"`
}

func (s *Server) nativeIntelligentSearch(r *request, tc tenant.Context, q *intelligentSearch) (intelligentAnswer, error) {
	if q.Technical {
		return intelligentAnswer{}, placed(within("technical_focus", errValue("nothing here knows which texts are technical")))
	}
	all, err := s.findersOf(r, &tc, q.Collections)
	if err != nil {
		return intelligentAnswer{}, err
	}
	answer := intelligentAnswer{Collections: make([]searchedForms, len(all))}
	lists := make([][]found, len(all))
	deep := 3 * q.MaxResults // something to choose from
	for i, f := range all {
		forms := variants(q.Query, nil, nil)[:1]
		if q.Expansion {
			if forms, err = f.expand(q.Query); err != nil {
				return intelligentAnswer{}, err
			}
		}
		answer.Collections[i] = searchedForms{Collection: f.name, QueryType: f.kind(), Queries: forms}
		if lists[i], err = f.hits(forms, wanted{limit: deep}); err != nil {
			return intelligentAnswer{}, err
		}
	}
	list := unique(mergeRanks(lists))
	if q.MMR {
		if list, err = s.diverseInTurn(r, &tc, list[:min(len(list), deep)], q); err != nil {
			return intelligentAnswer{}, err
		}
	}
	list = list[:min(len(list), q.MaxResults)]
	answer.Results, answer.Total = foundHits(list), len(list)
	return answer, nil
}

// diverseInTurn is diverse within the tenant's share of the processors.
func (s *Server) diverseInTurn(r *request, tc *tenant.Context, list []found, q *intelligentSearch) ([]found, error) {
	leave, err := s.engine.Turn(r.ctx, tc.TenantID, time.Duration(len(list)*q.MaxResults)*likenessCost)
	if err != nil {
		return nil, err
	}
	defer leave()
	return diverse(r.ctx, list, q.MaxResults, q.Lambda)
}

// likenessCost is about what it takes to compare two texts.
const likenessCost = time.Microsecond

// findersOf returns those of the collections that are named, or of all that the
// key is for and that words can be searched in.
func (s *Server) findersOf(r *request, tc *tenant.Context, names []collectionName) ([]*finder, error) {
	if len(names) > 0 {
		return s.finders(r, tc, names)
	}
	infos, err := s.engine.ListCollections(r.ctx, *tc)
	if err != nil {
		return nil, err
	}
	var all []*finder
	for _, info := range infos {
		f := newFinder(s, r, tc, info)
		if tc.MayCollection(info.Name) && (f.index != nil || f.dense) {
			all = append(all, f)
		}
	}
	if len(all) > collectionsMax {
		return nil, placed(within("collections", errValue(strconv.Itoa(len(all))+" can be searched, must be at most "+strconv.Itoa(collectionsMax)+": name those that are wanted")))
	}
	return all, nil
}
