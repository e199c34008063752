package suite

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/steps"
	"tidemark/target"
)

// Spoken says whether every sentence of the scenarios has a meaning: each that has none, or more than
// one, is a [*FeatureError] with the nearest phrase.
func Spoken(scenarios []Scenario, phrases []steps.Phrase) error {
	var patterns []*regexp.Regexp
	var examples []string
	for _, p := range phrases {
		pattern, err := regexp.Compile("^(?:" + p.Expression + ")$")
		if err != nil {
			return &FeatureError{"steps", 0, "phrase " + p.Expression + ": " + err.Error()}
		}
		patterns, examples = append(patterns, pattern), append(examples, p.Example)
	}
	var wrong mistakes
	for _, s := range scenarios {
		for _, step := range s.Steps {
			means := 0
			for _, p := range patterns {
				if p.MatchString(step.Text) {
					means++
				}
			}
			switch means {
			case 1:
			case 0:
				wrong.add(s.URI, step.Line, "unknown phrase "+strconv.Quote(step.Text)+nearPhrase(step.Text, examples))
			default:
				wrong.add(s.URI, step.Line, "ambiguous phrase "+strconv.Quote(step.Text))
			}
		}
	}
	return wrong.err()
}

// mistakes collects what is wrong with features, once for each line.
type mistakes []*FeatureError

func (m *mistakes) add(uri string, line int, message string) {
	if !slices.ContainsFunc(*m, func(e *FeatureError) bool { return e.URI == uri && e.Line == line }) {
		*m = append(*m, &FeatureError{uri, line, message})
	}
}

func (m mistakes) err() error {
	var all []error
	for _, e := range m {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// Tagged says whether every tag of the scenarios is a level, a statement that is listed, a capability or
// one that says when a scenario runs: each other one is a [*FeatureError] with the nearest.
func Tagged(scenarios []Scenario, statements []Statement) error {
	known := slices.Concat(Levels(), scheduling(), slices.Sorted(maps.Keys(target.Capabilities())))
	var listed []string
	for _, s := range statements {
		listed = append(listed, s.ID)
	}
	var wrong mistakes
	for _, s := range scenarios {
		for _, tag := range s.Statements {
			if !slices.Contains(listed, tag) {
				wrong.add(s.URI, s.tagLines[tag], fmt.Sprintf("%s does not list the statement @%s%s", requirements, tag, target.Near(tag, listed)))
			}
		}
		for _, tag := range s.Capabilities {
			if !slices.Contains(known, tag) {
				wrong.add(s.URI, s.tagLines[tag], fmt.Sprintf("unknown tag @%s%s", tag, target.Near(tag, known)))
			}
		}
	}
	return wrong.err()
}

// Listed says whether the scenarios that the target's file names exist: the first that does not is a
// [*target.Error].
func Listed(t *target.Target, scenarios []Scenario) error {
	for i, d := range t.Defects {
		for j, id := range d.Scenarios {
			if err := knownIDs(scenarios, []string{id}); err != nil {
				return t.Mistake(fmt.Sprintf("$.defects[%d].scenarios[%d]", i, j), fmt.Sprintf("defect %s: %v", d.Name, err))
			}
		}
	}
	for i, e := range t.Expectations {
		if err := knownIDs(scenarios, []string{e.Scenario}); err != nil {
			return t.Mistake(fmt.Sprintf("$.expectations[%d].scenario", i), fmt.Sprintf("expectation: %v", err))
		}
	}
	return nil
}

// nearPhrase names the example with the most words in common.
func nearPhrase(text string, examples []string) string {
	best, most := "", 0
	said := strings.Fields(strings.ToLower(text))
	for _, example := range examples {
		words := strings.Fields(strings.ToLower(example))
		common := 0
		for _, w := range said {
			if slices.Contains(words, w) {
				common++
			}
		}
		if score := 2*common - len(words); common > 0 && (best == "" || score > most) {
			best, most = example, score
		}
	}
	if best == "" {
		return "; `tidemark list phrases` shows what may be said"
	}
	return "; nearest is " + strconv.Quote(best)
}

// settable says what is wrong with --set: an unknown setting or value, or one that a selected scenario
// states itself.
func settable(t *target.Target, selected []Scenario, set map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if err := t.Check(name, set[name]); err != nil {
			return usage("%v", err)
		}
		for _, s := range selected {
			if line := s.states(name); line > 0 {
				return usage("set %s: %s:%d states it itself (%s); select other scenarios%s", name, s.URI, line, s.ID, selectable(selected, set))
			}
		}
	}
	return nil
}

// states is the line at which the scenario states the setting; 0 where it does not.
func (s Scenario) states(setting string) int {
	word := regexp.MustCompile(`\b` + regexp.QuoteMeta(setting) + `\b`)
	for _, step := range s.Steps {
		if word.MatchString(step.Text) || word.MatchString(step.DocString) {
			return step.Line
		}
	}
	return 0
}

// selectable suggests a statement with scenarios that state none of the settings: that with the most.
func selectable(selected []Scenario, set map[string]string) string {
	count := map[string]int{}
	stated := map[string]bool{}
	for _, s := range selected {
		for _, id := range s.Statements {
			count[id]++
			for name := range set {
				stated[id] = stated[id] || s.states(name) > 0
			}
		}
	}
	best := ""
	for _, id := range slices.SortedFunc(maps.Keys(count), compareIDs) {
		if !stated[id] && (best == "" || count[id] > count[best]) {
			best = id
		}
	}
	if best == "" {
		return ""
	}
	return ", as with --statement " + best
}

func knownDefects(t *target.Target, defects []string) error {
	known := map[string]bool{}
	for _, d := range t.Defects {
		known[d.Name] = true
	}
	for _, name := range defects {
		if _, err := oneOf("defect", name, known); err != nil {
			return err
		}
	}
	return nil
}

var (
	saysNodes   = regexp.MustCompile(`\bcluster of (\d+) node`)
	saysSeconds = regexp.MustCompile(`\b(\d+(?:\.\d+)?) s\b`)
	saysPolls   = regexp.MustCompile(`\b(\d+|half|a) (?:more )?poll`)
	saysSetting = regexp.MustCompile(`\bdb_update_frequency is (\d+(?:\.\d+)?) s`)
)

// nodes is how many nodes the scenario asks for.
func (s Scenario) nodes() int {
	for _, step := range s.Steps {
		if m := saysNodes.FindStringSubmatch(step.Text); m != nil {
			n, _ := strconv.Atoi(m[1])
			return n
		}
	}
	return 0
}

// estimate guesses from its sentences how long the scenario takes, for the order of a first run; later
// runs know better. The poll interval is f unless the scenario states it.
func (s Scenario) estimate(f time.Duration) time.Duration {
	total := 500 * time.Millisecond
	for _, step := range s.Steps {
		if m := saysSetting.FindStringSubmatch(step.Text); m != nil {
			f = seconds(m[1])
		}
	}
	for _, step := range s.Steps {
		for _, m := range saysSeconds.FindAllStringSubmatch(step.Text, -1) {
			total += seconds(m[1])
		}
		for _, m := range saysPolls.FindAllStringSubmatch(step.Text, -1) {
			n, _ := strconv.Atoi(m[1])
			total += time.Duration(cmp.Or(n, 1)) * f
		}
		if strings.Contains(step.Text, "bound") {
			total += f
		}
	}
	return total
}

func seconds(text string) time.Duration {
	n, _ := strconv.ParseFloat(text, 64)
	return time.Duration(n * float64(time.Second))
}
