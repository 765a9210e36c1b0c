package order

// A Cause is why somebody wants an order cancelled or sends lines back, as one of a few words that stand in the clear. What the
// person typed beside it may say anything about anybody; it stands in the event's Note, sealed.
type Cause string

// The causes. Stored; never renamed.
const (
	ChangedMind    Cause = "CHANGED_MIND"
	OrderedWrongly Cause = "ORDERED_WRONGLY"
	TooSlow        Cause = "TOO_SLOW"
	Damaged        Cause = "DAMAGED"
	WrongItem      Cause = "WRONG_ITEM"
	NotAsDescribed Cause = "NOT_AS_DESCRIBED"
	OtherCause     Cause = "OTHER"
)

// sentences are for people: they stand in the cancelled order and in the mail that tells of it.
var sentences = map[Cause]string{
	ChangedMind: "the order is not wanted any more", OrderedWrongly: "it was ordered by mistake", TooSlow: "it takes too long",
	Damaged: "it is damaged", WrongItem: "it is not what was ordered", NotAsDescribed: "it is not as described",
	OtherCause: "the cancellation was asked for",
}

// Known reports whether c is one of the causes.
func (c Cause) Known() bool { _, ok := sentences[c]; return ok }

// Sentence returns the cause in words.
func (c Cause) Sentence() string {
	if s, ok := sentences[c]; ok {
		return s
	}
	return sentences[OtherCause]
}

// Cause returns why, as far as it may be said on: events from before there were causes have in Reason what somebody typed,
// which is not copied any further.
func (e CancelRequested) Cause() Cause { return causeOf(e.Reason) }

// Said is Cause, save that the import's own words, which are about an invoice, are said on.
func (e Returned) Said() string {
	if e.Channel == channelOfHistory {
		return e.Reason
	}
	return string(causeOf(e.Reason))
}

const channelOfHistory = "import"

func causeOf(reason string) Cause {
	if c := Cause(reason); c.Known() {
		return c
	}
	return OtherCause
}
