package suite

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/steps"
	"tidemark/target"
)

// Spoken says whether every sentence of the scenarios has a meaning: the first that has none, or more
// than one, is a [*FeatureError] with the nearest phrase.
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
				return &FeatureError{s.URI, step.Line, "unknown phrase " + strconv.Quote(step.Text) + nearPhrase(step.Text, examples)}
			default:
				return &FeatureError{s.URI, step.Line, "ambiguous phrase " + strconv.Quote(step.Text)}
			}
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
		word := regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`)
		for _, s := range selected {
			for _, step := range s.Steps {
				if word.MatchString(step.Text) || word.MatchString(step.DocString) {
					return usage("set %s: %s:%d states it itself (%s); select other scenarios", name, s.URI, step.Line, s.ID)
				}
			}
		}
	}
	return nil
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
