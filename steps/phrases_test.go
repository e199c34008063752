package steps

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	gherkin "github.com/cucumber/gherkin/go/v42"
	messages "github.com/cucumber/messages/go/v34"
)

// sentences returns every sentence of the features, outlines filled in, with the scenario that says it.
func sentences(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../features/*.feature")
	if err != nil || len(files) == 0 {
		t.Fatalf("find the features: %v, %d files", err, len(files))
	}
	said := map[string]string{}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		ids := &messages.Incrementing{}
		document, err := gherkin.ParseGherkinDocument(f, ids.NewId)
		_ = f.Close()
		if err != nil {
			t.Fatalf("parse %s: %v", file, err)
		}
		for _, pickle := range gherkin.Pickles(*document, file, ids.NewId) {
			for _, step := range pickle.Steps {
				said[step.Text] = filepath.Base(file) + ": " + pickle.Name
			}
		}
	}
	return said
}

func matching(sentence string) []Phrase {
	var found []Phrase
	for _, p := range Phrases() {
		if regexp.MustCompile(p.Expression).MatchString(sentence) {
			found = append(found, p)
		}
	}
	return found
}

func TestEverySentenceHasOneMeaning(t *testing.T) {
	for sentence, where := range sentences(t) {
		if found := matching(sentence); len(found) != 1 {
			t.Errorf("%q (%s) has %d meanings", sentence, where, len(found))
		}
	}
}

func TestEveryPhraseIsSaid(t *testing.T) {
	said := sentences(t)
	for _, p := range Phrases() {
		expression, used := regexp.MustCompile(p.Expression), false
		for sentence := range said {
			used = used || expression.MatchString(sentence)
		}
		if !used {
			t.Errorf("nothing says %q", p.Example)
		}
	}
}

func TestPhrasesAreDocumented(t *testing.T) {
	for _, p := range Phrases() {
		if found := matching(p.Example); len(found) != 1 || found[0].Expression != p.Expression {
			t.Errorf("the example %q is not one of %q alone", p.Example, p.Expression)
		}
		if p.Doc == "" {
			t.Errorf("%q has no doc", p.Example)
		}
	}
}

// A step takes what its expression captures: a wrong count would only show when it is said.
func TestStepsTakeWhatPhrasesCapture(t *testing.T) {
	for _, p := range Phrases() {
		step, captures := reflect.TypeOf(p.step), regexp.MustCompile(p.Expression).NumSubexp()
		takes := 0
		for i := range step.NumIn() {
			switch step.In(i).Kind() {
			case reflect.Int, reflect.String, reflect.Float64:
				takes++
			}
		}
		if takes != captures {
			t.Errorf("%q captures %d, its step takes %d", p.Example, captures, takes)
		}
	}
}

func TestSentencesNameKnownChanges(t *testing.T) {
	named := regexp.MustCompile(`(?:^every node is ready for |has missed |is started, and |^)(an? .+?)(?: (?:is|was) made through .*)?$`)
	for sentence, where := range sentences(t) {
		if strings.Contains(sentence, "changes") || !strings.Contains(sentence, "ready for") && !strings.Contains(sentence, "made through node") && !strings.Contains(sentence, "has missed") {
			continue
		}
		if _, err := changeNamed(named.FindStringSubmatch(sentence)[1]); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
}

func TestChangesAreComplete(t *testing.T) {
	said := map[string]bool{}
	for _, c := range changes() {
		switch {
		case said[c.name]:
			t.Errorf("%s stands twice", c.name)
		case c.doc == "", len(c.given) == 0, len(c.made) == 0, len(c.looks) == 0:
			t.Errorf("%s is not complete", c.name)
		}
		said[c.name] = true
		for _, l := range c.looks {
			if l.Old == l.New || l.Old == "" || l.New == "" {
				t.Errorf("%s: its look at %s cannot tell old from new", c.name, l.Subject())
			}
		}
	}
}
