package httpedge

import (
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// changeAliases performs actions on aliases, all of them or none. To which
// collections they lead, the engine compares with what the key is for.
func (s *Server) changeAliases(r *request, tc tenant.Context) error {
	var actions []collection.AliasAction
	err := r.decode(func(p *pointReader) (err error) {
		actions, err = p.aliasActions()
		return err
	})
	if err != nil {
		return err
	}
	op := collection.UpdateAliases{Actions: actions}
	if err := op.Validate(s.limits.Request); err != nil {
		return err
	}
	for _, a := range actions {
		for _, name := range []string{a.Alias, a.Target} {
			if err := mayCollection(&tc, name); name != "" && err != nil {
				return err
			}
		}
	}
	if err := s.engine.UpdateAliases(r.ctx, tc, actions); err != nil {
		return err
	}
	return r.answerBool(true)
}

// listAliases lists the tenant's aliases.
func (s *Server) listAliases(r *request, tc tenant.Context) error {
	return s.answerAliases(r, tc, func(collection.Alias) bool { return true })
}

// collectionAliases lists those of one collection: none of one that is not there.
func (s *Server) collectionAliases(r *request, tc tenant.Context) error {
	name, err := r.name()
	if err != nil {
		return err
	}
	return s.answerAliases(r, tc, func(a collection.Alias) bool { return a.Collection == name })
}

// answerAliases lists the aliases that are wanted.
func (s *Server) answerAliases(r *request, tc tenant.Context, wanted func(collection.Alias) bool) error {
	list, err := s.engine.ListAliases(r.ctx, tc)
	if err != nil {
		return err
	}
	return r.answer(func(dst []byte) []byte {
		dst = append(dst, `{"aliases":[`...)
		first := true
		for _, a := range list {
			if !wanted(a) {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = appendString(append(dst, `{"alias_name":`...), a.Name)
			dst = append(appendString(append(dst, `,"collection_name":`...), a.Collection), '}')
		}
		return append(dst, `]}`...)
	})
}

// aliasActions reads {"actions": [{kind: action}]}.
func (p *pointReader) aliasActions() ([]collection.AliasAction, error) {
	var actions []collection.AliasAction
	err := p.object(func(key []byte) error {
		if string(key) != "actions" {
			return p.skip()
		}
		actions = []collection.AliasAction{}
		return p.array(func() error {
			if len(actions) == collection.AliasesMax {
				return tooManyOf("actions", collection.AliasesMax)
			}
			a, err := p.aliasAction()
			actions = append(actions, a)
			return err
		})
	})
	if err == nil && actions == nil {
		err = p.fault("missing field `actions`")
	}
	return actions, err
}

// aliasMembers are the members of each kind of action that name the alias, and
// its target; "" where there is none.
var aliasMembers = map[string]struct {
	kind          collection.AliasKind
	alias, target string
}{
	"create_alias": {collection.AliasCreate, "alias_name", "collection_name"},
	"delete_alias": {collection.AliasDelete, "alias_name", ""},
	"rename_alias": {collection.AliasRename, "old_alias_name", "new_alias_name"},
}

// aliasAction reads {kind: {members}}.
func (p *pointReader) aliasAction() (a collection.AliasAction, err error) {
	err = p.object(func(key []byte) error {
		members, ok := aliasMembers[string(key)]
		if !ok || a.Kind != 0 {
			return p.skip()
		}
		a.Kind = members.kind
		hasAlias, hasTarget := false, members.target == ""
		err := p.object(func(key []byte) error {
			switch string(key) {
			case members.alias:
				hasAlias = true
				return p.stringTo(&a.Alias)
			case members.target:
				hasTarget = true
				return p.stringTo(&a.Target)
			}
			return p.skip()
		})
		if err == nil && (!hasAlias || !hasTarget) {
			return p.fault(noAliasAction)
		}
		return err
	})
	if err == nil && a.Kind == 0 {
		err = p.fault(noAliasAction)
	}
	return a, err
}

const noAliasAction = "data did not match any variant of untagged enum AliasOperations"
