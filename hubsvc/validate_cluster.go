package hubsvc

import "strings"

// The limits of the cluster's own state.
const (
	NodeNameBytesMax   = 63
	AddressBytesMax    = 255
	MembersMax         = 256 // that are not gone
	goneMembersMax     = 100 // records kept to look at
	JoinTokensMax      = 1000
	JoinTokenTTLMaxMs  = 7 * 24 * 3600 * 1000
	joinTokenKeptMs    = 24 * 3600 * 1000 // after its expiry
	VotersMax          = 3
	authorityBytesMax  = 8 << 10
	systemAndMostParts = PartitionsMax + 1
)

func (op *NameMember) validate() error {
	if err := validateNames(op.Name, op.Cluster); err != nil {
		return err
	}
	if op.Authority != nil {
		if err := op.Authority.validate(); err != nil {
			return err
		}
	}
	return validateMember(op.Number, op.Address, op.HTTP)
}

func (op *SetMemberAddress) validate() error {
	return validateMember(op.Number, op.Address, op.HTTP)
}

func (op *SetMemberState) validate() error {
	if op.State < MemberActive || op.State > MemberGone {
		return errorf(CodeInvalidRequest, "member state is %d; must be active, leaving or gone", op.State)
	}
	return validateNumber(op.Number)
}

func (op *CreateJoinToken) validate() error {
	if op.TTL <= 0 || op.TTL > JoinTokenTTLMaxMs {
		return errorf(CodeInvalidRequest, "a join token is good for more than 0 and at most 7 days")
	}
	return op.Hash.validate()
}

func (op *JoinMember) validate() error {
	if err := op.Token.validate(); err != nil {
		return err
	}
	if err := validateNames(op.Name, op.Cluster); err != nil {
		return err
	}
	return validateAddresses(op.Address, op.HTTP)
}

func (op *SetPlacements) validate() error {
	if len(op.Changes) == 0 || len(op.Changes) > systemAndMostParts {
		return errorf(CodeInvalidRequest, "%d placements in one command; must be 1 to %d", len(op.Changes), systemAndMostParts)
	}
	for i, c := range op.Changes {
		if i > 0 && op.Changes[i-1].Group >= c.Group {
			return errorf(CodeInvalidRequest, "the placements are not ordered by group")
		}
		if err := c.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (c *PlacementChange) validate() error {
	if len(c.Replicas) == 0 || len(c.Replicas) > MembersMax {
		return errorf(CodeInvalidRequest, "group %d with %d replicas; must be 1 to %d", c.Group, len(c.Replicas), MembersMax)
	}
	voters := 0
	for i, r := range c.Replicas {
		if r.ID.Member() == 0 {
			return errorf(CodeInvalidRequest, "replica %s of group %d is on no member", r.ID, c.Group)
		}
		if !r.Learner {
			voters++
		}
		for _, before := range c.Replicas[:i] {
			if before.ID.Member() == r.ID.Member() {
				return errorf(CodeInvalidRequest, "group %d with two replicas on member %d", c.Group, r.ID.Member())
			}
		}
	}
	if voters != 1 && voters != VotersMax {
		return errorf(CodeInvalidRequest, "group %d with %d voters; must be 1 or %d", c.Group, voters, VotersMax)
	}
	if c.Replicas[0].Learner {
		return errorf(CodeInvalidRequest, "group %d with a learner as its preferred leader", c.Group)
	}
	return nil
}

func (a *NewAuthority) validate() error {
	for _, b := range [][]byte{a.Certificate, a.SealedKey} {
		if len(b) == 0 || len(b) > authorityBytesMax {
			return errorf(CodeInvalidRequest, "a part of the certificate authority has %d bytes; must be 1 to %d", len(b), authorityBytesMax)
		}
	}
	return nil
}

func (h TokenHash) validate() error {
	if h == (TokenHash{}) {
		return errorf(CodeInvalidRequest, "token hash is zero")
	}
	return nil
}

func validateMember(number uint32, address, http string) error {
	if err := validateNumber(number); err != nil {
		return err
	}
	return validateAddresses(address, http)
}

func validateNumber(number uint32) error {
	if number == 0 {
		return errorf(CodeInvalidRequest, "member number is 0")
	}
	return nil
}

func validateNames(node, cluster string) error {
	if err := ValidateNodeName("node id", node); err != nil {
		return err
	}
	return ValidateNodeName("cluster name", cluster)
}

// ValidateNodeName returns the fault of a node's or a cluster's name, INVALID_REQUEST,
// which calls it what.
func ValidateNodeName(what, name string) error {
	if name == "" || len(name) > NodeNameBytesMax {
		return errorf(CodeInvalidRequest, "%s must be 1 to %d characters", what, NodeNameBytesMax)
	}
	for i, c := range []byte(name) {
		alphanumeric := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alphanumeric && (i == 0 || c != '-' && c != '_' && c != '.') {
			return errorf(CodeInvalidRequest, "%s %q: only a-z, 0-9, - _ and . after the first, which is a letter or digit", what, name)
		}
	}
	return nil
}

func validateAddresses(address, http string) error {
	if err := validateAddress("address for other nodes", address); err != nil || http == "" {
		return err
	}
	return validateAddress("http address", http)
}

// validateAddress looks at the form host:port alone.
func validateAddress(what, address string) error {
	i := strings.LastIndexByte(address, ':')
	good := i > 0 && len(address) <= AddressBytesMax && validPort(address[i+1:])
	for _, c := range []byte(address) {
		good = good && c > ' ' && c < 0x7f
	}
	if !good {
		return errorf(CodeInvalidRequest, "%s %q: must be host:port, at most %d bytes", what, address, AddressBytesMax)
	}
	return nil
}

func validPort(s string) bool {
	port := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || len(s) > 5 {
			return false
		}
		port = port*10 + int(c-'0')
	}
	return port > 0 && port <= 65535
}
