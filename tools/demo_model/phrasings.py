"""How the questions are asked: for every category the phrasings of the training data and those kept for the held-out questions."""

OPENERS = ["", "", "", "", "", "", "", "Please: ", "Hey, ", "Hi! ", "Hello! ", "Quick question: ", "I have a question. ", "Tell me: ",
           "Okay. ", "Now, ", "Next: ", "Help me. ", "So, "]
HELD_OPENERS = ["", "", "", "Good morning! ", "One question: ", "Please help me. ", "Well, "]
CLOSERS = ["", "", "", "", "", "", "", " Thanks!", " Please.", " Please tell me.", " I want to know."]

CAPITAL = [
    "What is the capital of {x}?", "What's the capital of {x}?", "Which city is the capital of {x}?", "Name the capital of {x}.",
    "Tell me the capital of {x}.", "Can you tell me the capital of {x}?", "Do you know the capital of {x}?", "Capital of {x}?", "{x}: capital?",
    "What is the capital city of {x}?", "Which city is the seat of government of {x}?", "What city is the capital of {x}?",
    "I need the capital of {x}.", "Could you name the capital of {x}?", "Give me the capital of {x}.", "The capital of {x} is",
    "Of {x}, what is the capital?", "What do you call the capital of {x}?", "Please name the capital city of {x}.", "What capital does {x} have?",
    "{x} has which capital?", "Which capital belongs to {x}?", "I want to know the capital of {x}.", "Where is the government of {x}?",
]
CAPITAL_HELD = [
    "Which is the capital of {x}?", "Could you tell me the capital of {x}?", "Do you know which city is the capital of {x}?",
    "Which city is {x}'s capital?", "Please give me the capital city of {x}.", "Can you name the capital of {x}?",
    "Which capital does {x} have?", "I would like to know the capital of {x}.",
]
COUNTRY = ["{y} is the capital of which country?", "Of which country is {y} the capital?", "Which country has the capital {y}?",
           "What country is {y} the capital of?", "{y} is the capital of what?", "Name the country whose capital is {y}.",
           "Tell me which country has {y} as its capital."]
COUNTRY_HELD = ["Which country is {y} the capital of?", "What country has the capital {y}?", "Tell me the country whose capital is {y}."]

ADD = ["What is {a} + {b}?", "What is {a} plus {b}?", "{a} + {b}", "{a} + {b} =", "{a} plus {b}?", "Add {a} and {b}.", "Add {b} to {a}.",
       "What's {a} + {b}?", "How much is {a} plus {b}?", "How much is {a} + {b}?", "Calculate {a} + {b}.", "Compute {a} plus {b}.", "Sum of {a} and {b}?",
       "What is the sum of {a} and {b}?", "Tell me {a} plus {b}.", "What does {a} + {b} make?", "{a}+{b}", "{a}+{b}=?", "Please add {a} and {b}.",
       "Can you add {a} and {b}?", "What do you get if you add {a} and {b}?", "I have {a} apples and get {b} more. How many apples do I have?",
       "Work out {a} plus {b}.", "There are {a} cats and {b} dogs. How many animals are there?", "If I add {b} to {a}, what do I get?"]
ADD_HELD = ["How much is the sum of {a} and {b}?", "Can you tell me {a} plus {b}?", "What do I get if I add {a} and {b}?", "Please calculate {a} + {b}.",
            "What does {a} plus {b} make?", "Could you add {a} and {b}?", "I have {a} coins and get {b} more. How many coins do I have?"]
SUB = ["What is {a} - {b}?", "What is {a} minus {b}?", "{a} - {b}", "{a} - {b} =", "{a} minus {b}?", "Subtract {b} from {a}.", "Take {b} away from {a}.",
       "What's {a} - {b}?", "How much is {a} minus {b}?", "How much is {a} - {b}?", "Calculate {a} - {b}.", "Compute {a} minus {b}.",
       "What is the difference of {a} and {b}?", "Tell me {a} minus {b}.", "What does {a} - {b} make?", "{a}-{b}", "{a}-{b}=?",
       "Please subtract {b} from {a}.", "Can you subtract {b} from {a}?", "What is left if you take {b} from {a}?",
       "I have {a} apples and give {b} away. How many apples do I have?", "Work out {a} minus {b}.", "{a} birds sit on a tree and {b} fly away. How many are left?"]
SUB_HELD = ["Can you tell me {a} minus {b}?", "What is left if I take {b} from {a}?", "Please calculate {a} - {b}.", "What does {a} minus {b} make?",
            "Could you subtract {b} from {a}?", "I have {a} coins and give {b} away. How many coins do I have?"]
MUL = ["What is {a} * {b}?", "What is {a} times {b}?", "{a} * {b}", "{a} * {b} =", "{a} times {b}?", "Multiply {a} by {b}.", "Multiply {a} and {b}.",
       "What's {a} x {b}?", "How much is {a} times {b}?", "How much is {a} * {b}?", "Calculate {a} * {b}.", "Compute {a} times {b}.", "{a} x {b}",
       "What is the product of {a} and {b}?", "Tell me {a} times {b}.", "{a}*{b}=?", "Please multiply {a} by {b}.", "Can you multiply {a} and {b}?",
       "There are {a} boxes with {b} pens each. How many pens are there?", "What do you get if you multiply {a} by {b}?", "What is {a} multiplied by {b}?"]
MUL_HELD = ["Can you tell me {a} times {b}?", "Please calculate {a} * {b}.", "What do I get if I multiply {a} by {b}?", "Could you multiply {a} by {b}?",
            "What does {a} times {b} make?"]

DRILL = ["Practise {x}.", "Do some {x}.", "Show me some {x}.", "Give me examples of {x}."]

AFTER = ["What day comes after {x}?", "Which day comes after {x}?", "What is the day after {x}?", "Which day follows {x}?", "What day follows {x}?",
         "Name the day after {x}.", "Tell me the day after {x}.", "Today is {x}. What day is tomorrow?", "If today is {x}, what day is tomorrow?",
         "{x} comes before which day?", "What comes after {x}?", "The day after {x}?", "Do you know which day follows {x}?", "After {x} comes which day?"]
AFTER_HELD = ["Can you tell me the day after {x}?", "What is the next day after {x}?", "It is {x} today. What day is tomorrow?", "Which day is after {x}?",
              "Please name the day after {x}."]
BEFORE = ["What day comes before {x}?", "Which day comes before {x}?", "What is the day before {x}?", "Name the day before {x}.",
          "Tell me the day before {x}.", "Today is {x}. What day was yesterday?", "If today is {x}, what day was yesterday?", "{x} comes after which day?",
          "What comes before {x}?", "The day before {x}?", "{x} follows which day?", "Do you know which day comes before {x}?", "Before {x} comes which day?"]
BEFORE_HELD = ["Can you tell me the day before {x}?", "It is {x} today. What day was yesterday?", "Which day is before {x}?", "Please name the day before {x}."]
MONTH_LENGTH = ["How many days does {x} have?", "How many days are in {x}?", "How many days are there in {x}?", "How long is {x}?", "Number of days in {x}?",
                "Tell me how many days {x} has.", "What is the number of days in {x}?", "How many days has {x}?", "{x} has how many days?",
                "Count the days of {x}.", "Give me the number of days in {x}."]
MONTH_LENGTH_HELD = ["Can you tell me how many days {x} has?", "How many days does the month of {x} have?", "Do you know how many days are in {x}?",
                     "What is the length of {x} in days?"]
MONTH_NUMBER = ["What is the {n} month of the year?", "Which month is the {n} of the year?", "Name the {n} month.", "Which month is the {n}?",
                "What is the {n} month?", "Tell me the {n} month of the year.", "The {n} month of the year is", "Which is the {n} month?"]
MONTH_NUMBER_HELD = ["Which month is the {n} month of the year?", "Can you name the {n} month?", "Please tell me the {n} month."]

OPPOSITE = ["What is the opposite of {x}?", "What's the opposite of {x}?", "Opposite of {x}?", "Tell me the opposite of {x}.", "Name the opposite of {x}.",
            "Give me the opposite of {x}.", "Which word is the opposite of {x}?", "What word means the opposite of {x}?", "What is the contrary of {x}?",
            "Do you know the opposite of {x}?", "Can you tell me the opposite of {x}?", "{x}: what is the opposite?", "What is not {x}?",
            "I need the opposite of {x}.", "Say the opposite of {x}.", "The opposite of {x} is", "Find the opposite of {x}.",
            "What do you call the opposite of {x}?", "If something is not {x}, what is it?", "{x} is the opposite of what?", "What is the antonym of {x}?"]
OPPOSITE_HELD = ["Which word means the opposite of {x}?", "Could you tell me the opposite of {x}?", "Please give me the opposite of {x}.",
                 "Can you name the opposite of {x}?", "Please find a word that is the opposite of {x}.", "Tell me an antonym of {x}.", "I want to know the opposite of {x}."]

COLOUR = ["What colour is {x}?", "What color is {x}?", "Which colour is {x}?", "What is the colour of {x}?", "What is the color of {x}?",
          "Tell me the colour of {x}.", "Name the colour of {x}.", "What colour does {x} have?", "Which color does {x} have?", "Colour of {x}?",
          "Do you know the colour of {x}?", "{x} has which colour?", "Can you tell me the colour of {x}?", "Give me the colour of {x}.",
          "In which colour would you paint {x}?", "I need the colour of {x}.", "What's the colour of {x}?"]
COLOUR_HELD = ["Which color is {x}?", "What's the color of {x}?", "Could you tell me the colour of {x}?", "Do you know what colour {x} is?",
               "Please name the colour of {x}.", "Which colour does {x} have?"]
MIX = ["What do you get if you mix {x} and {y}?", "Mix {x} and {y}.", "What colour do {x} and {y} make?", "What is {x} mixed with {y}?",
       "{x} and {y} make which colour?", "What does {x} and {y} make?", "Which colour do you get from {x} and {y}?", "If I mix {x} and {y}, what do I get?",
       "Which color do {x} and {y} give?", "What happens if you mix {x} with {y}?", "What is the mix of {x} and {y}?", "I mix {x} paint and {y} paint. What colour is it?"]
MIX_HELD = ["What do I get if I mix {x} and {y}?", "Which colour do {x} and {y} make?", "What colour do you get if you mix {x} with {y}?", "Tell me what {x} and {y} make."]

NAME_TELL = ["My name is {n}.", "I am {n}.", "Hello, I am {n}.", "Hi, my name is {n}.", "You can call me {n}.", "I'm {n}.", "Hello! My name is {n}."]
NAME_ASK = ["What is my name?", "What's my name?", "Who am I?", "Do you remember my name?", "Tell me my name.", "Can you tell me my name?", "Say my name."]
NAME_ASK_HELD = ["Do you know my name?", "Please tell me my name.", "What did I say my name was?"]
FOLLOW = ["And {x}?", "And of {x}?", "What about {x}?", "How about {x}?", "And what about {x}?", "{x}?", "Now {x}.", "And for {x}?"]
FOLLOW_HELD = ["And now {x}?", "And how about {x}?", "Okay, what about {x}?", "Now what about {x}?"]
SYSTEM = ["You are a helpful assistant.", "Answer shortly.", "You are the demo model of Drover.", "Be polite.", "You are a friendly assistant.",
          "Answer in one sentence.", "You help people."]
