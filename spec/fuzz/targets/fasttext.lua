--- Files of fastText: rows of texts and labels, or one line that says why not.
local tables = require("fsam.data.tables")

return {
  parts = { { name = "train.ft", kind = "bytes" } },
  words = { "__label__", "__label__a ", " ", "\t", "\n", "\r\n", "\239\187\191", "\255\254", "_" },
  seeds = function()
    return {
      { ["train.ft"] = "__label__yes a cat\n__label__no b\n" },
      { ["train.ft"] = "\239\187\191__label__x __label__y a\r\nb\r\n\r\n__label__ c" },
    }
  end,
  run = function(_, folder)
    for _, row in ipairs(tables.read(folder .. "/train.ft", { "text", "label" })) do
      assert(type(row[1]) == "string" and row.line >= 1, "a wrong row")
      assert(type(row[2]) == "string" or type(row[2]) == "table", "a wrong label")
    end
  end,
}
