//! What else a request body says, found only when it is asked for.

use crate::{
    Operation, RawJson, Turns,
    turns::{Role, Turn},
};

/// What else a request body says, beside its [`RequestFacts`](crate::RequestFacts): limits, tools, conversation, sampling.
///
/// The members of the body are found in one pass. What is in them is looked at only when it is asked for. Nothing is made
/// into a tree, nothing recurses, and it never prints what it holds. A value of a wrong kind is as if it were absent: it is
/// for the target to refuse it. A member that stands there twice counts as its last.
///
/// The body was read as [`RequestFacts`](crate::RequestFacts) before. Of one that was not, this makes nonsense, but no panic.
#[derive(Clone, Debug)]
pub struct RequestDetails<'a> {
    operation: Operation,
    members: Members<'a>,
}

/// How a model is to choose its words. What is `None` is left to the target.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Sampling<'a> {
    /// `temperature`.
    pub temperature: Option<f64>,
    /// `top_p`; Gemini's `topP`.
    pub top_p: Option<f64>,
    /// `top_k`; Gemini's `topK`.
    pub top_k: Option<f64>,
    /// `seed`.
    pub seed: Option<i64>,
    /// `frequency_penalty`; Gemini's `frequencyPenalty`.
    pub frequency_penalty: Option<f64>,
    /// `presence_penalty`; Gemini's `presencePenalty`.
    pub presence_penalty: Option<f64>,
    /// `stop`, Anthropic's `stop_sequences`, Gemini's `stopSequences`: a string or an array of them.
    pub stop: Option<RawJson<'a>>,
}

/// The tools that a model may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tools<'a> {
    /// The array, as it is written.
    pub raw: RawJson<'a>,
    /// How many there are. Gemini's `functionDeclarations` are counted one by one.
    pub count: usize,
}

macro_rules! members {
    ($($field:ident: $($key:literal)|+),+ $(,)?) => {
        #[derive(Clone, Debug, Default)]
        struct Members<'a> { $($field: Option<RawJson<'a>>),+ }

        impl<'a> Members<'a> {
            fn slot(&mut self, key: &str) -> Option<&mut Option<RawJson<'a>>> {
                match key {
                    $($($key)|+ => Some(&mut self.$field),)+
                    _ => None,
                }
            }
        }
    };
}

members! {
    content: "content",
    contents: "contents",
    format: "format",
    frequency_penalty: "frequency_penalty",
    functions: "functions",
    generation: "generationConfig" | "generation_config",
    input: "input",
    instructions: "instructions",
    max_completion_tokens: "max_completion_tokens",
    max_output_tokens: "max_output_tokens",
    max_tokens: "max_tokens",
    messages: "messages",
    n: "n",
    options: "options",
    output_config: "output_config",
    output_format: "output_format",
    presence_penalty: "presence_penalty",
    prompt: "prompt",
    response_format: "response_format",
    seed: "seed",
    stop: "stop" | "stop_sequences",
    stream_options: "stream_options",
    system: "system" | "systemInstruction" | "system_instruction",
    temperature: "temperature",
    text: "text",
    tools: "tools",
    top_k: "top_k",
    top_p: "top_p",
}

// === impl RequestDetails ===

impl<'a> RequestDetails<'a> {
    /// Finds the members of `body`, which asks for `operation`.
    #[must_use]
    pub fn new(operation: Operation, body: &'a [u8]) -> Self {
        let text = std::str::from_utf8(body).unwrap_or_default();
        let members = RawJson::new(text).members();
        Self::of_members(operation, members.filter_map(|(key, value)| Some((key.text()?, value))))
    }

    /// Takes the members of a body that asks for `operation`, for who has found them already: names and values.
    pub fn of_members<N: AsRef<str>>(operation: Operation, found: impl IntoIterator<Item = (N, RawJson<'a>)>) -> Self {
        let mut members = Members::default();
        for (name, value) in found {
            if let Some(slot) = members.slot(name.as_ref()) {
                *slot = Some(value).filter(|value| !value.is_null());
            }
        }
        Self { operation, members }
    }

    /// Returns the operation the body asks for.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// Returns the largest number of tokens an answer may have: `max_completion_tokens`, `max_tokens`, `max_output_tokens`,
    /// Gemini's `generationConfig.maxOutputTokens` or Ollama's `options.num_predict`. A negative number sets no limit.
    #[must_use]
    pub fn max_tokens(&self) -> Option<u64> {
        let m = &self.members;
        let number = if self.operation.is_gemini() {
            self.generation(["maxOutputTokens", "max_output_tokens"])
        } else if self.operation.is_ollama() {
            m.options.and_then(|options| options.member("num_predict"))
        } else {
            m.max_completion_tokens.or(m.max_tokens).or(m.max_output_tokens)
        };
        number?.as_u64()
    }

    /// Returns how many answers are asked for: `n`, or Gemini's `candidateCount`. One, unless said otherwise.
    #[must_use]
    pub fn choices(&self) -> u64 {
        let number = if self.operation.is_gemini() {
            self.generation(["candidateCount", "candidate_count"])
        } else {
            self.members.n
        };
        number.and_then(RawJson::as_u64).unwrap_or(1).max(1)
    }

    /// Returns the tools, or OpenAI's older `functions`, if there are any.
    #[must_use]
    pub fn tools(&self) -> Option<Tools<'a>> {
        let raw = self.members.tools.or(self.members.functions).filter(|raw| raw.is_array())?;
        let declared = |tool: RawJson<'a>| {
            let declared = tool.member("functionDeclarations").or_else(|| tool.member("function_declarations"));
            declared.map_or(1, |declared| declared.elements().count())
        };
        let gemini = self.operation.is_gemini();
        let count = raw.elements().map(|tool| if gemini { declared(tool) } else { 1 }).sum();
        (count > 0).then_some(Tools { raw, count })
    }

    /// Returns what the model is told beside the conversation: `system`, `instructions`, Gemini's `systemInstruction`; and
    /// the contents of the turns whose role is system or developer.
    pub fn system(&self) -> impl Iterator<Item = RawJson<'a>> {
        let told = |turn: &Turn<'a>| matches!(turn.role, Role::System | Role::Developer);
        let turns = self.turns().filter(told).filter_map(|turn| turn.content);
        self.instructions().chain(turns)
    }

    /// Returns the turns of the conversation, at most [`Turns::MAX`] of them. A prompt, or a text to embed, is one turn of
    /// the user.
    #[must_use]
    pub fn turns(&self) -> Turns<'a> {
        let m = &self.members;
        let turns = match self.operation {
            Operation::Completions | Operation::OllamaGenerate => m.prompt,
            Operation::Embeddings | Operation::OllamaEmbed | Operation::Responses => m.input,
            operation if operation.is_gemini() => m.contents.or(m.content),
            _ => m.messages,
        };
        Turns::of(turns)
    }

    /// Returns how the model is to choose its words.
    #[must_use]
    pub fn sampling(&self) -> Sampling<'a> {
        let m = &self.members;
        if self.operation.is_gemini() {
            return self
                .sampling_of(m.generation, ["topP", "topK", "frequencyPenalty", "presencePenalty", "stopSequences"]);
        }
        if self.operation.is_ollama() {
            return self.sampling_of(m.options, ["top_p", "top_k", "frequency_penalty", "presence_penalty", "stop"]);
        }
        let f64 = |value: Option<RawJson<'a>>| value.and_then(RawJson::as_f64);
        Sampling {
            temperature: f64(m.temperature),
            top_p: f64(m.top_p),
            top_k: f64(m.top_k),
            seed: m.seed.and_then(RawJson::as_i64),
            frequency_penalty: f64(m.frequency_penalty),
            presence_penalty: f64(m.presence_penalty),
            stop: m.stop,
        }
    }

    /// Returns the form the answer must have: `response_format`, the `text.format` of Responses, Anthropic's
    /// `output_config.format`, Gemini's schema or else its `responseMimeType`, Ollama's `format`.
    #[must_use]
    pub fn response_format(&self) -> Option<RawJson<'a>> {
        let m = &self.members;
        let of = |value: Option<RawJson<'a>>, name| value.and_then(|value| value.member(name));
        match self.operation {
            Operation::Responses => of(m.text, "format"),
            operation if operation.is_anthropic() => of(m.output_config, "format").or(m.output_format),
            operation if operation.is_ollama() => m.format,
            operation if operation.is_gemini() => self
                .generation(["responseJsonSchema", "responseSchema"])
                .or_else(|| self.generation(["responseMimeType", "response_mime_type"])),
            _ => m.response_format,
        }
    }

    /// Returns whether a stream is asked to tell what it used: `stream_options.include_usage`.
    #[must_use]
    pub fn asks_for_usage(&self) -> bool {
        let usage = self.members.stream_options.and_then(|options| options.member("include_usage"));
        usage.and_then(RawJson::as_bool).unwrap_or_default()
    }

    /// Returns whether there is an image in a turn.
    #[must_use]
    pub fn has_images(&self) -> bool {
        self.turns().any(|turn| turn.parts().any(|part| part.is_image()))
    }

    pub(crate) fn instructions(&self) -> impl Iterator<Item = RawJson<'a>> + use<'a> {
        self.members.system.into_iter().chain(self.members.instructions)
    }

    fn generation(&self, names: [&str; 2]) -> Option<RawJson<'a>> {
        let config = self.members.generation?;
        names.iter().find_map(|name| config.member(name)).filter(|value| !value.is_null())
    }

    fn sampling_of(&self, of: Option<RawJson<'a>>, names: [&str; 5]) -> Sampling<'a> {
        let mut sampling = Sampling::default();
        for (key, value) in of.into_iter().flat_map(RawJson::members) {
            match key.text().as_deref() {
                Some("temperature") => sampling.temperature = value.as_f64(),
                Some("seed") => sampling.seed = value.as_i64(),
                Some(key) if key == names[0] => sampling.top_p = value.as_f64(),
                Some(key) if key == names[1] => sampling.top_k = value.as_f64(),
                Some(key) if key == names[2] => sampling.frequency_penalty = value.as_f64(),
                Some(key) if key == names[3] => sampling.presence_penalty = value.as_f64(),
                Some(key) if key == names[4] => sampling.stop = Some(value),
                _ => {}
            }
        }
        sampling
    }
}
