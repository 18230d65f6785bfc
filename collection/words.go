package collection

import "github.com/hivehub/waggle/index/sparse"

// Words returns the words of a text in order, as a text that nobody said more
// of has them: see sparse.Tokenizer.
func Words(text string) []string {
	var words []string
	for word := range plainTokenizer.Words(text) {
		words = append(words, string(word))
	}
	return words
}

var plainTokenizer = sparse.NewTokenizer(sparse.TokenizerOptions{})
