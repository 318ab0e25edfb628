import { useId } from 'react';

/** What is wrong with a field; read out when it appears. */
export function FieldError({ id, text }: { id?: string; text: string | undefined }) {
  if (text === undefined) return null;
  return (
    <p className="field-error" role="alert" id={id}>
      {text}
    </p>
  );
}

export interface Choice<T> {
  value: T;
  name: string;
}

/** A native select whose values need not be texts. */
export function Select<T>(props: {
  label: string;
  value: T;
  choices: readonly Choice<T>[];
  error?: string | undefined;
  onChange: (value: T) => void;
}) {
  const id = useId();
  const index = props.choices.findIndex(({ value }) => value === props.value);
  return (
    <div className="field">
      <label htmlFor={id}>{props.label}</label>
      <select
        id={id}
        value={index}
        aria-invalid={props.error !== undefined}
        aria-describedby={props.error === undefined ? undefined : `${id}-error`}
        onChange={(event) => {
          const choice = props.choices[Number(event.target.value)];
          if (choice) props.onChange(choice.value);
        }}
      >
        {props.choices.map(({ name }, i) => (
          <option key={name} value={i}>
            {name}
          </option>
        ))}
      </select>
      <FieldError id={`${id}-error`} text={props.error} />
    </div>
  );
}

export function NumberField(props: {
  label: string;
  unit?: string;
  value: number | null;
  step: number;
  min: number;
  max?: number;
  placeholder?: string;
  error?: string | undefined;
  onChange: (value: number | null) => void;
}) {
  const id = useId();
  const { label, unit, value, error, onChange, ...limits } = props;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <div className="number">
        <input
          {...limits}
          id={id}
          type="number"
          inputMode="decimal"
          value={value ?? ''}
          aria-invalid={error !== undefined}
          aria-describedby={error === undefined ? undefined : `${id}-error`}
          onChange={(event) => {
            const typed = event.target.valueAsNumber;
            onChange(Number.isFinite(typed) ? typed : null);
          }}
        />
        {unit !== undefined && <span aria-hidden="true">{unit}</span>}
      </div>
      <FieldError id={`${id}-error`} text={error} />
    </div>
  );
}

/** A few choices side by side; radio buttons underneath. */
export function Segments<T extends string>(props: {
  label: string;
  value: T;
  choices: readonly Choice<T>[];
  error?: string | undefined;
  onChange: (value: T) => void;
}) {
  const name = useId();
  return (
    <fieldset className="field segments">
      <legend>{props.label}</legend>
      <div>
        {props.choices.map((choice) => (
          <label key={choice.value}>
            <input
              type="radio"
              name={name}
              checked={choice.value === props.value}
              onChange={() => props.onChange(choice.value)}
            />
            <span>{choice.name}</span>
          </label>
        ))}
      </div>
      <FieldError text={props.error} />
    </fieldset>
  );
}

export function Slider(props: {
  label: string;
  value: number;
  min: number;
  max: number;
  ends: readonly [low: string, high: string];
  error?: string | undefined;
  onChange: (value: number) => void;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>
        {props.label} <output>{props.value}</output>
      </label>
      <input
        id={id}
        type="range"
        min={props.min}
        max={props.max}
        value={props.value}
        style={{ '--value': (props.value - props.min) / (props.max - props.min) }}
        onChange={(event) => props.onChange(event.target.valueAsNumber)}
      />
      <p className="slider-ends" aria-hidden="true">
        <span>{props.ends[0]}</span>
        <span>{props.ends[1]}</span>
      </p>
      <FieldError text={props.error} />
    </div>
  );
}

export function Switch(props: {
  label: string;
  checked: boolean;
  disabled?: boolean;
  onChange: (checked: boolean) => void;
}) {
  return (
    <label className="switch">
      <span>{props.label}</span>
      <input
        type="checkbox"
        role="switch"
        checked={props.checked}
        disabled={props.disabled}
        onChange={(event) => props.onChange(event.target.checked)}
      />
    </label>
  );
}
