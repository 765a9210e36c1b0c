package fault

// A row says what one kind means to each of Annal's edges.
type row struct {
	name    string
	graphql string // extensions.code
	http    int
	grpc    uint32 // google.golang.org/grpc/codes
	exit    int    // exit status of the tool annal
	retry   bool   // trying the same again can help
}

var table = [...]row{
	Internal:        {"internal", "INTERNAL", 500, 13, 1, false},
	Invalid:         {"invalid", "BAD_USER_INPUT", 400, 3, 2, false},
	Unauthenticated: {"unauthenticated", "UNAUTHENTICATED", 401, 16, 3, false},
	Denied:          {"denied", "FORBIDDEN", 403, 7, 4, false},
	Missing:         {"missing", "NOT_FOUND", 404, 5, 5, false},
	Conflict:        {"conflict", "CONFLICT", 409, 10, 6, false},
	Exhausted:       {"exhausted", "RATE_LIMITED", 429, 8, 7, true},
	Timeout:         {"timeout", "TIMEOUT", 504, 4, 8, true},
	Unavailable:     {"unavailable", "UNAVAILABLE", 503, 14, 9, true},
}

func (k Kind) row() row {
	if int(k) >= len(table) {
		return table[Internal]
	}
	return table[k]
}

// String returns the kind's name in lower case.
func (k Kind) String() string { return k.row().name }

// GraphQL returns the value of extensions.code.
func (k Kind) GraphQL() string { return k.row().graphql }

// HTTP returns the status code.
func (k Kind) HTTP() int { return k.row().http }

// GRPC returns the number of the gRPC status code.
func (k Kind) GRPC() uint32 { return k.row().grpc }

// Exit returns the exit status of the command-line tool; never 0.
func (k Kind) Exit() int { return k.row().exit }

// Retryable reports whether the same request can succeed later without anybody changing anything.
func (k Kind) Retryable() bool { return k.row().retry }
