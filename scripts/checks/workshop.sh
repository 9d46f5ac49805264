#!/usr/bin/env bash
# The run sheets for teachers fit into their minutes, and name steps, parts of chapters, labs and holes that exist. Then each kind of
# fault is put into a copy, and must be found.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/testing.sh"
look() { python3 "$ROOT/book/workshop.py" "$1" 2>&1; }
plan=book/workshop.toml

verdict "the run sheets fit" "$(look "$ROOT")"
fault "a section that takes too long" "are 91 minutes, not 90" $plan '0,/^talk = 8$/s//talk = 9/'
fault "a section without its goto" "step2: the section does not end at a goto" $plan '0,/^goto = 3$/{/^goto = 3$/d}'
fault "a goto that leads elsewhere" "step2: goto 5, but the next section is step3" $plan '0,/^goto = 3$/s//goto = 5/'
fault "a goto to a step that is not there" "goto 8: there is no such step" $plan '0,/^goto = 4$/s//goto = 8/'
fault "a step that is not there" "there is no chapter step9" $plan '0,/^page = "step3"$/s//page = "step9"/'
fault "a hole that is not there" "there is no hole loops" $plan '0,/^open = "loop"$/s//open = "loops"/'
fault "a lab that is not there" "there is no lab-signal-ten" $plan '0,/^labs = \["lab-signal-nine"\]$/s//labs = ["lab-signal-ten"]/'
fault "a hole that takes longer than the plan gives" "the hole connect has 5 minutes and takes 9" steps/step2_db_connection/exercise.toml 's/^minutes = 5$/minutes = 9/'
fault "a chapter that takes longer than the plan gives" "step1: talk has 11 minutes, the chapter needs 17" $plan '/^\[chapter.step1\]$/,/^$/s/^idea = 5$/idea = 12/'
fault "a lab that takes longer than the plan gives" "step3: lab has 4 minutes, the chapter needs 7" $plan 's/^lab-err = 3$/lab-err = 7/'
fault "builds that take longer than the plan gives" "minutes for building" $plan 's/^quick = .*/quick = 60/'
fault "a talk that is too long" "step3: nobody listens for 16 minutes" $plan 's/^talk = 12$/talk = 16/'
fault "no reserve" "a reserve of 0 minutes is too little" $plan 's/^reserve = 4$/reserve = 0/'
fault "nothing to cut" "minutes can be cut" $plan '/^cut = /d'
fault "no hole in a step" "step2: no hole is opened" $plan '/^open = "connect"$/d'
fault "a heading that was renamed in one language" "there is no heading idea in ja" book/ja/src/step3.md 's/{#idea}/{#gedanke}/'
fault "minutes that are typed" "its minutes do not come from here" book/en/src/step4.md '0,/{{#include ..\/..\/generated\/minutes.md:step4}}/s//30/'
fault "a new lab without minutes" "the lab lab-new has no minutes" book/ja/src/step5.md 's/{#lab-state}/{#lab-new}/'
fault "a lab at which nothing is said" "nothing is said at step6#lab-drop" book/en/src/teaching.md 's/#lab-drop/#lab-flag/'
