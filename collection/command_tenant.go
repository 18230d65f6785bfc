package collection

import "github.com/hivehub/waggle/tenant"

// CommandTenant reads whose command an entry of the log holds without decoding
// the rest, and "" when it holds none.
func CommandTenant(data []byte) tenant.ID {
	if len(data) <= commandHeader || data[0] != commandVersion && data[0] != commandNonced {
		return ""
	}
	name := data[commandHeader+1:]
	n := int(data[commandHeader])
	if n > len(name) {
		return ""
	}
	return tenant.ID(name[:n])
}
