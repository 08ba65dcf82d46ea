--- JSON: reading, writing in both forms, and reading that again.
local json = require("fsam.base.json")

local SEEDS = {
  '{"a": [1, 2.5, -3e10, true, false, null], "b": {"c": "d\\u00e9\\n", "": []}, "e": {}}',
  '[[[["deep"]]], "\\ud83d\\ude00", 1e-7, 0.1, 123456789012]',
  '"text"', "-0.0", ' { "x" : 1 , "x" : 2 } ', '{"__index": {"__gc": "\240\159\152\128"}}',
}

return {
  parts = { { name = "text", kind = "document" } },
  files = false,
  words = { "null", "true", "\\u0000", "\\ud800", "\\udc00", "__index", "1E+400", "-", "//", "a" },
  seeds = function()
    local list = {}
    for i, text in ipairs(SEEDS) do
      list[i] = { text = text }
    end
    return list
  end,
  run = function(bundle)
    local value = json.decode(bundle.text or "", "text")
    local line = json.encode(value)
    local again = json.encode(json.decode(line, "line"))
    assert(again == line, "the text that was written reads as another value")
    local tall = json.encode(value, { indent = true })
    assert(json.encode(json.decode(tall, "indented")) == line, "the indented text differs")
  end,
}
