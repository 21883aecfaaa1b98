/** The phrases that hide the actor or the verb of a sentence (CONTRIBUTING.md). */

/** What not to write -> what to write. */
export const forbiddenPhrases: readonly (readonly [phrase: RegExp, instead: string])[] = [
  [/\bwhoever\b/gi, 'name the actor: the caller, the next run, another process'],
  [/\bnobody's\b/gi, 'say what happens to it: it is deleted, it is ignored'],
  [/\bsomebody\b/gi, 'name the actor: a person, the sender, another process'],
  [/\banybody's\b/gi, 'say what it is: unverified, undefined'],
  [/\blest\b/gi, 'so that … not'],
  [/\bfor ever\b/gi, 'without end, until …'],
  [/\bwhat (?:becomes|became) of\b/gi, 'what happens to'],
  [/\bis borne\b/gi, 'is tolerated, is waited for'],
  [/\banew\b/gi, 'again, or a word for what it is: new, next'],
  [/\bgone on with\b/gi, 'continued'],
  [/\ball the same\b/gi, 'still, before the verb'],
  [/\bgoes on\b/gi, 'continues'],
  [/(?:^|[.:;!?] |\*\* ?)So (?:much|many)\b/g, 'the number, or the limit, as the subject'],
]
